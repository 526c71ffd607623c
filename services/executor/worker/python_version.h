/* Where Debian keeps the library of the Python that we are linked with. */
#pragma once

#include <patchlevel.h>

#define PYTHON_STRING_(x) #x
#define PYTHON_STRING(x)  PYTHON_STRING_(x)
#define PYTHON_STDLIB \
	"/usr/lib/python" PYTHON_STRING(PY_MAJOR_VERSION) "." PYTHON_STRING(PY_MINOR_VERSION)
#define PYTHON_DIST_PACKAGES "/usr/lib/python3/dist-packages"
