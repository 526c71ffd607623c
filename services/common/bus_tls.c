/*
 * Reading and using are apart: the files are read before a service confines itself, while making
 * nng's configurations starts nng's threads, which must come after.
 */
#include "bus_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <nng/supplemental/tls/tls.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "mem.h"
#include "secret.h"

#define PEM_MAX (64u * 1024)
#define CERT    "MCPBOX_BUS_TLS_CERT"
#define CA      "MCPBOX_BUS_TLS_CA"
/* What a dialler wants to find in the certificate, whatever the address: instances are announced by IP
 * address, with which the packaged mbedtls cannot compare. */
#define MEMBER_NAME "mcpbox-bus"

struct bus_tls {
	struct secret *cert; /* PEM; NULL once armed */
	struct secret *ca;
	nng_tls_config *client, *server;
};

/* ---- reading -------------------------------------------------------------------------------- */

static int read_whole(int fd, struct secret *into)
{
	size_t len = 0;

	while (len < into->len) {
		ssize_t n = read(fd, into->data + len, into->len - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		len += (size_t)n;
	}
	return -EFBIG;
}

static int pem_read(const char *setting, const char *path, mode_t forbidden, struct secret **ret,
		    struct err *err)
{
	BOX_CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	BOX_CLEANUP(secret_freep) struct secret *text = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s: the file cannot be opened: %s", setting,
			       strerrordesc_np(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: not a regular file", setting);
	if (st.st_mode & forbidden)
		return err_set(err, ERR_DENIED,
			       "%s: the file can be used by others; it must have mode 0600",
			       setting);
	text = secret_new(NULL, PEM_MAX);
	r = read_whole(fd, text);
	if (r < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s: the file cannot be read: %s", setting,
			       strerrordesc_np(-r));
	*ret = TAKE(text);
	return 0;
}

static void tls_free(struct bus_tls *tls)
{
	if (!tls)
		return;
	secret_free(tls->cert);
	secret_free(tls->ca);
	free(tls);
}
BOX_DEFINE_CLEANUP(struct bus_tls *, tls_free)

static bool is_set(const char *value)
{
	return value && *value;
}

int bus_tls_load(const char *cert_file, const char *ca_file, struct bus_tls **ret, struct err *err)
{
	BOX_CLEANUP(tls_freep) struct bus_tls *tls = NULL;
	int r;

	*ret = NULL;
	if (!is_set(cert_file) && !is_set(ca_file))
		return 0;
	if (!is_set(cert_file) || !is_set(ca_file))
		return err_set(err, ERR_INVALID, CERT " and " CA " are set both or not at all");
	tls = mem_alloc(sizeof(*tls));
	r = pem_read(CERT, cert_file, S_IRWXG | S_IRWXO, &tls->cert, err);
	if (r == 0)
		r = pem_read(CA, ca_file, S_IWOTH, &tls->ca, err);
	if (r < 0)
		return r;
	*ret = TAKE(tls);
	return 0;
}

/* ---- using ---------------------------------------------------------------------------------- */

static int config_make(const struct bus_tls *tls, nng_tls_mode mode, nng_tls_config **ret,
		       struct err *err)
{
	const char *cert = (const char *)tls->cert->data;
	int r = nng_tls_config_alloc(ret, mode);

	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "this nng offers no TLS: %s", nng_strerror(r));
	r = nng_tls_config_auth_mode(*ret, NNG_TLS_AUTH_MODE_REQUIRED);
	if (r == 0 && mode == NNG_TLS_MODE_CLIENT)
		r = nng_tls_config_server_name(*ret, MEMBER_NAME);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "TLS of the bus: %s", nng_strerror(r));
	r = nng_tls_config_ca_chain(*ret, (const char *)tls->ca->data, NULL);
	if (r != 0)
		return err_set(err, ERR_INVALID, CA ": no certificate in PEM: %s", nng_strerror(r));
	r = nng_tls_config_own_cert(*ret, cert, cert, NULL);
	if (r != 0)
		return err_set(err, ERR_INVALID, CERT ": no certificate with its key in PEM: %s",
			       nng_strerror(r));
	return 0;
}

int tls_arm(struct bus_tls *tls, struct err *err)
{
	int r = config_make(tls, NNG_TLS_MODE_CLIENT, &tls->client, err);

	if (r == 0)
		r = config_make(tls, NNG_TLS_MODE_SERVER, &tls->server, err);
	secret_freep(&tls->cert);
	secret_freep(&tls->ca);
	tls->cert = tls->ca = NULL;
	return r;
}

static bool is_tls(const char *url)
{
	return strncmp(url, "tls+", 4) == 0;
}

int tls_check_address(const struct bus_tls *tls, const char *url, struct err *err)
{
	int r = bus_check_address(url, err);

	if (r == 0 && is_tls(url) && !tls)
		r = err_set(err, ERR_INVALID, "a tls+tcp:// address needs " CERT " and " CA);
	return r;
}

int tls_dialer_create(const struct bus_tls *tls, nng_socket socket, const char *url,
		      nng_dialer *ret)
{
	int r = nng_dialer_create(ret, socket, url);

	return r == 0 && is_tls(url) ? nng_dialer_set_ptr(*ret, NNG_OPT_TLS_CONFIG, tls->client)
				     : r;
}

int tls_listener_create(const struct bus_tls *tls, nng_socket socket, const char *url,
			nng_listener *ret)
{
	int r = nng_listener_create(ret, socket, url);

	return r == 0 && is_tls(url) ? nng_listener_set_ptr(*ret, NNG_OPT_TLS_CONFIG, tls->server)
				     : r;
}
