/*
 * Reads the machines in the reply to RetrievePropertiesEx with libxml2, as a C program would: from a tree of the
 * reply, or as a stream (SAX), which never holds more than one value.
 */

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

struct machines {
    struct machine *all;
    long count, room;
};

static inline struct machine *add_machine(struct machines *machines) {
    if (machines->count == machines->room) {
        machines->room = machines->room ? 2 * machines->room : 256;
        machines->all = realloc(machines->all, (size_t)machines->room * sizeof *machines->all);
    }
    struct machine *added = &machines->all[machines->count++];
    memset(added, 0, sizeof *added);
    return added;
}

static inline void set_property(struct machine *machine, const char *name, const char *value) {
    if (strcmp(name, "name") == 0)
        machine->name = strdup(value);
    else if (strcmp(name, "config.uuid") == 0)
        machine->uuid = strdup(value);
    else if (strcmp(name, "runtime.powerState") == 0)
        machine->powered_on = strcmp(value, "poweredOn") == 0;
    else if (strcmp(name, "config.hardware.memoryMB") == 0)
        machine->memory_mb = atol(value);
}

static inline struct machines machines_from_tree(const char *xml, size_t length) {
    struct machines machines = {0};
    xmlDoc *document = xmlReadMemory(xml, (int)length, NULL, NULL, XML_PARSE_NONET | XML_PARSE_HUGE | XML_PARSE_COMPACT);
    xmlNode *node = document ? xmlDocGetRootElement(document) : NULL;
    node = node ? child_element(node, "Body") : NULL;
    node = node ? child_element(node, NULL) : NULL;
    node = node ? child_element(node, "returnval") : NULL;
    for (node = node ? node->children : NULL; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE || strcmp((const char *)node->name, "objects") != 0)
            continue;
        struct machine *machine = add_machine(&machines);
        for (xmlNode *set = node->children; set; set = set->next)
            if (set->type == XML_ELEMENT_NODE && strcmp((const char *)set->name, "propSet") == 0)
                set_property(machine, node_text(child_element(set, "name")), node_text(child_element(set, "val")));
    }
    xmlFreeDoc(document);
    return machines;
}

/* The position of a stream in the reply. */
struct place {
    struct machines machines;
    int depth;
    char *text; /* of the element that is being read, if it is needed */
    char name[64], value[1024];
};

/* Envelope, Body and the response are around `returnval`; then come objects, propSet, and name and val. */
enum { OBJECT = 5, PROPERTY, PART };

static inline void element_begins(void *to, const xmlChar *name, const xmlChar *prefix, const xmlChar *space, int spaces,
                                  const xmlChar **declared, int attributes, int defaults, const xmlChar **values) {
    struct place *place = to;
    (void)prefix, (void)space, (void)spaces, (void)declared, (void)attributes, (void)defaults, (void)values;
    place->depth++;
    if (place->depth == OBJECT && strcmp((const char *)name, "objects") == 0)
        add_machine(&place->machines);
    else if (place->depth == PROPERTY)
        place->name[0] = place->value[0] = '\0';
    else if (place->depth == PART && strcmp((const char *)name, "name") == 0)
        place->text = place->name;
    else if (place->depth == PART && strcmp((const char *)name, "val") == 0)
        place->text = place->value;
}

static inline void text_comes(void *to, const xmlChar *text, int length) {
    struct place *place = to;
    if (place->text && place->depth == PART) {
        size_t room = place->text == place->name ? sizeof place->name : sizeof place->value;
        size_t used = strlen(place->text), more = (size_t)length;
        if (used + more >= room)
            more = room - used - 1;
        memcpy(place->text + used, text, more);
        place->text[used + more] = '\0';
    }
}

static inline void element_ends(void *to, const xmlChar *name, const xmlChar *prefix, const xmlChar *space) {
    struct place *place = to;
    (void)prefix, (void)space;
    if (place->depth == PART)
        place->text = NULL;
    else if (place->depth == PROPERTY && place->machines.count && strcmp((const char *)name, "propSet") == 0)
        set_property(&place->machines.all[place->machines.count - 1], place->name, place->value);
    place->depth--;
}

static inline struct machines machines_from_stream(const char *xml, size_t length) {
    enum { PIECE = 65536 };
    xmlSAXHandler handler = {.initialized = XML_SAX2_MAGIC,
                             .startElementNs = element_begins,
                             .endElementNs = element_ends,
                             .characters = text_comes};
    struct place place = {0};
    xmlParserCtxt *parser = xmlCreatePushParserCtxt(&handler, &place, NULL, 0, NULL);
    xmlCtxtUseOptions(parser, XML_PARSE_NONET | XML_PARSE_HUGE);
    int error = 0;
    for (size_t done = 0; done < length && !error; done += PIECE) {
        size_t left = length - done;
        error = xmlParseChunk(parser, xml + done, (int)(left < PIECE ? left : PIECE), left <= PIECE);
    }
    if (error)
        place.machines.count = -1;
    xmlFreeParserCtxt(parser);
    return place.machines;
}

static inline void free_machines(struct machines *machines) {
    for (long i = 0; i < machines->count; i++) {
        free(machines->all[i].name);
        free(machines->all[i].uuid);
    }
    free(machines->all);
}

/* So that no program counts a machine of which it has read only a part. */
static inline bool all_complete(const struct machines *machines) {
    for (long i = 0; i < machines->count; i++)
        if (!machines->all[i].name || !machines->all[i].uuid || machines->all[i].memory_mb <= 0)
            return false;
    return true;
}

#endif
