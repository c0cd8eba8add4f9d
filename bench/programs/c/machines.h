/* Reads the machines out of the reply to RetrievePropertiesEx with libxml2, as a C program would. */

#ifndef BENCH_MACHINES_H
#define BENCH_MACHINES_H

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct machine {
    char *name, *uuid;
    bool powered_on;
    long memory_mb;
};

static inline xmlNode *child_element(xmlNode *node, const char *name) {
    for (xmlNode *child = node->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && (!name || strcmp((const char *)child->name, name) == 0))
            return child;
    return NULL;
}

static inline const char *node_text(xmlNode *node) {
    return node && node->children && node->children->content ? (const char *)node->children->content : "";
}

/* Fills an array of machines, which the caller frees, and returns how many there are. */
static inline long read_machines(const char *xml, size_t length, struct machine **out) {
    xmlDoc *document = xmlReadMemory(xml, (int)length, NULL, NULL, XML_PARSE_NONET | XML_PARSE_HUGE | XML_PARSE_COMPACT);
    if (!document)
        return -1;
    long count = 0, room = 0;
    struct machine *machines = NULL;
    xmlNode *node = xmlDocGetRootElement(document);
    node = node ? child_element(node, "Body") : NULL;
    node = node ? child_element(node, NULL) : NULL;
    node = node ? child_element(node, "returnval") : NULL;
    for (node = node ? node->children : NULL; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE || strcmp((const char *)node->name, "objects") != 0)
            continue;
        if (count == room) {
            room = room ? 2 * room : 256;
            machines = realloc(machines, (size_t)room * sizeof *machines);
        }
        struct machine machine = {0};
        for (xmlNode *set = node->children; set; set = set->next) {
            if (set->type != XML_ELEMENT_NODE || strcmp((const char *)set->name, "propSet") != 0)
                continue;
            const char *name = node_text(child_element(set, "name"));
            const char *value = node_text(child_element(set, "val"));
            if (strcmp(name, "name") == 0)
                machine.name = strdup(value);
            else if (strcmp(name, "config.uuid") == 0)
                machine.uuid = strdup(value);
            else if (strcmp(name, "runtime.powerState") == 0)
                machine.powered_on = strcmp(value, "poweredOn") == 0;
            else if (strcmp(name, "config.hardware.memoryMB") == 0)
                machine.memory_mb = atol(value);
        }
        machines[count++] = machine;
    }
    xmlFreeDoc(document);
    *out = machines;
    return count;
}

static inline void free_machines(struct machine *machines, long count) {
    for (long i = 0; i < count; i++) {
        free(machines[i].name);
        free(machines[i].uuid);
    }
    free(machines);
}

#endif
