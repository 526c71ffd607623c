#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python.h"
#include "python_version.h"

#include <stdbool.h>
#include <string.h>

static PyObject
	*run_job; /* mcpbox_runtime.call.run; a reference of our own, so that no tool replaces it */

static int append_path(PyConfig *config, const char *path)
{
	wchar_t *wide = Py_DecodeLocale(path, NULL);
	PyStatus s;

	if (!wide)
		return -1;
	s = PyWideStringList_Append(&config->module_search_paths, wide);
	PyMem_RawFree(wide);
	return PyStatus_Exception(s) ? -1 : 0;
}

static int append_paths(PyConfig *config, const struct wire_config *worker)
{
	char dirs[WIRE_PATHS_MAX];
	char *rest = dirs, *dir;

	config->module_search_paths_set = 1;
	if (append_path(config, PYTHON_STDLIB) < 0 ||
	    append_path(config, PYTHON_STDLIB "/lib-dynload") < 0 ||
	    append_path(config, worker->runtime_dir) < 0)
		return -1;
	memcpy(dirs, worker->module_dirs, sizeof(dirs));
	while ((dir = strsep(&rest, ":"))) {
		if (dir[0] == '/' && append_path(config, dir) < 0)
			return -1;
	}
	return append_path(config, PYTHON_DIST_PACKAGES);
}

static int initialize(const struct wire_config *worker)
{
	PyPreConfig pre;
	PyConfig config;
	PyStatus s;
	int r = -1;

	PyPreConfig_InitIsolatedConfig(&pre);
	pre.utf8_mode = 1; /* the C locale would make stdout ASCII */
	s = Py_PreInitialize(&pre);
	if (PyStatus_Exception(s))
		return -1;
	PyConfig_InitIsolatedConfig(&config);
	config.site_import = 0;
	config.install_signal_handlers = 0;
	config.write_bytecode = 0;
	config.pathconfig_warnings = 0;
	if (append_paths(&config, worker) == 0) {
		s = Py_InitializeFromConfig(&config);
		r = PyStatus_Exception(s) ? -1 : 0;
	}
	PyConfig_Clear(&config);
	return r;
}

static int call_preload(PyObject *module, bool with_http)
{
	PyObject *done = PyObject_CallMethod(module, "preload", "i", with_http ? 1 : 0);

	if (!done)
		return -1;
	Py_DECREF(done);
	run_job = PyObject_GetAttrString(module, "run");
	return run_job ? 0 : -1;
}

int python_start(const struct wire_config *config, const char **ret_step)
{
	PyObject *module;
	int r;

	*ret_step = "python start";
	if (initialize(config) < 0)
		return -1;
	*ret_step = "python runtime";
	module = PyImport_ImportModule("mcpbox_runtime.call");
	if (!module) {
		PyErr_Print();
		return -1;
	}
	r = call_preload(module, config->with_http != 0);
	if (r < 0)
		PyErr_Print();
	Py_DECREF(module);
	return r;
}

void python_before_fork(void)
{
	PyOS_BeforeFork();
}

void python_after_fork_parent(void)
{
	PyOS_AfterFork_Parent();
}

void python_after_fork_child(void)
{
	PyOS_AfterFork_Child();
}

/* For when there is no memory left to say more. */
static const char *last_words(size_t *ret_len)
{
	const char *text =
		PyErr_ExceptionMatches(PyExc_MemoryError)
			? "{\"ok\":false,\"kind\":\"memory\",\"text\":\"\"}"
			: "{\"ok\":false,\"kind\":\"internal\",\"text\":\"the runtime failed\"}";

	*ret_len = strlen(text);
	return text;
}

const char *python_run(const uint8_t *payload, size_t len, size_t *ret_len)
{
	PyObject *answer =
		PyObject_CallFunction(run_job, "y#", (const char *)payload, (Py_ssize_t)len);

	if (!answer || !PyBytes_Check(answer))
		return last_words(ret_len);
	*ret_len = (size_t)PyBytes_GET_SIZE(answer);
	return PyBytes_AS_STRING(answer);
}
