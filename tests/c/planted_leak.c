/*
 * Leaks an error with its text. Valgrind and the LeakSanitizer must report it; otherwise they do not check the library.
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
