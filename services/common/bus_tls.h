/*
 * TLS of the bus: one certificate and one CA for all tls+tcp:// addresses of the process, demanded of both
 * sides.  For the bus' own files; services load (bus.h) and hand over.
 */
#pragma once

#include <nng/nng.h>
#include "bus.h"

/* Makes what dialers and listeners share, and wipes the PEM.  Once, before the first of them. */
int tls_arm(struct bus_tls *tls, struct err *err) BOX_MUST_CHECK;
/* bus_check_address(), and tls+tcp:// only with certificates.  tls: NULL for none, here as below. */
int tls_check_address(const struct bus_tls *tls, const char *url, struct err *err) BOX_MUST_CHECK;
/* Created, not started; with TLS where the address says so.  Returns as nng does. */
int tls_dialer_create(const struct bus_tls *tls, nng_socket socket, const char *url,
		      nng_dialer *ret) BOX_MUST_CHECK;
int tls_listener_create(const struct bus_tls *tls, nng_socket socket, const char *url,
			nng_listener *ret) BOX_MUST_CHECK;
