/* Routes whose body or answer is a file as it is, to the byte: its signature is over bytes. */
#pragma once

#include "api.h"

api_serve files_serve_export, files_serve_import;
