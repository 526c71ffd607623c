/*
 * The files of the web UI, from MCPBOX_WEB_DIR; without it one page that says how to decide
 * meanwhile.
 */
#pragma once

#include "api.h"

api_serve static_files_serve;

/* "text/html; charset=utf-8" by the name's ending; "application/octet-stream" when it is not known.
 */
const char *static_files_type(const char *path);
/* Does the path name a page of the UI's own router ("/servers/7"), not a file ("/app.js")? */
bool static_files_is_page(const char *path);
