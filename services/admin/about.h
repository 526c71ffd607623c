/* What this process says about itself, to anyone: /api/config, /health, /metrics. */
#pragma once

#include "api.h"

api_serve about_serve_config;
api_serve about_serve_health; /* 503 when nothing can be administered: no registry or no database */
api_serve about_serve_health_detail; /* service by service; 503 when one is missing */
api_serve about_serve_metrics;
/* For who asks GET / for JSON. */
void about_write(struct buf *ret);
