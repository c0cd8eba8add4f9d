/*
 * Forgets an error, with its text: what valgrind and the LeakSanitizer must find, or they do not look at the library.
 */
#include "check.h"

int main(void)
{
    vsession_config config = {0};
    vsession_error *error = NULL;
    CHECK_INT(vsession_config_new("", &config, &error), VSESSION_E_INVALID_ARGUMENT);
    error = NULL;
    return finish();
}
