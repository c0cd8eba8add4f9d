/* SOAP written by hand: the envelopes that the programs without a vSphere library send. */

#ifndef BENCH_SOAP_H
#define BENCH_SOAP_H

#define ENVELOPE(body)                                                                                                 \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\" "          \
    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><Body>"    \
    body "</Body></Envelope>"

#define CURRENT_TIME                                                                                                   \
    ENVELOPE("<CurrentTime xmlns=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this></CurrentTime>")
#define LOGOUT                                                                                                         \
    ENVELOPE("<Logout xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this></Logout>")
/* Takes the user and the password. */
#define LOGIN                                                                                                          \
    ENVELOPE("<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>"                        \
             "<userName>%s</userName><password>%s</password></Login>")

/* The arguments of CreateContainerView; the format takes the root folder. */
#define VIEW_ARGUMENTS "<container type=\"Folder\">%s</container><type>VirtualMachine</type><recursive>true</recursive>"

/* The arguments of RetrievePropertiesEx; the format takes the id of the view. */
#define READ_ARGUMENTS                                                                                                 \
    "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet><pathSet>runtime.powerState</pathSet>"        \
    "<pathSet>config.uuid</pathSet><pathSet>config.hardware.memoryMB</pathSet></propSet><objectSet>"                   \
    "<obj type=\"ContainerView\">%s</obj><skip>true</skip><selectSet xsi:type=\"TraversalSpec\">"                      \
    "<type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet></specSet><options/>"

/* The whole requests. The format of the first takes nothing, that of the second the view manager and the root folder, that of the third the
 * property collector and the view. */
#define CONTENT                                                                                                        \
    ENVELOPE("<RetrieveServiceContent xmlns=\"urn:vim25\"><_this type=\"ServiceInstance\">ServiceInstance</_this>"     \
             "</RetrieveServiceContent>")
#define CREATE_VIEW                                                                                                    \
    ENVELOPE("<CreateContainerView xmlns=\"urn:vim25\"><_this type=\"ViewManager\">%s</_this>" VIEW_ARGUMENTS          \
             "</CreateContainerView>")
#define READ                                                                                                           \
    ENVELOPE("<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">%s</_this>" READ_ARGUMENTS   \
             "</RetrievePropertiesEx>")

#endif
