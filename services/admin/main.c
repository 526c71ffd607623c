#include "admin.h"

int main(int argc, char **argv)
{
	struct admin admin = { 0 };
	int r = service_init(&admin.service, &admin_info, argc, argv, &admin.cfg);

	if (r == 0)
		r = admin_start(&admin); /* keys, bus, confinement, HTTP */
	if (r == 0)
		r = service_run(&admin.service);
	admin_stop(&admin);
	return service_exit_code(r);
}
