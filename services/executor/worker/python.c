#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python.h"
#include "heap.h"
#include "python_version.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

/* References of our own to mcpbox_runtime.call, so that no tool replaces them. */
static PyObject *bind_tool, *prepare_call, *run_call;
static PyObject *call_bytes, *answer_bytes; /* of the call that is being served */

static void *take_arena(void *context, size_t size)
{
	(void)context;
	return heap_take(size);
}

static void give_back_arena(void *context, void *arena, size_t size)
{
	(void)context;
	heap_give_back(arena, size);
}

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

static int call_preload(PyObject *module, bool with_http, bool with_all)
{
	PyObject *done = PyObject_CallMethod(module, "preload", "ii", with_http, with_all);

	if (!done)
		return -1;
	Py_DECREF(done);
	bind_tool = PyObject_GetAttrString(module, "bind");
	prepare_call = PyObject_GetAttrString(module, "prepare");
	run_call = PyObject_GetAttrString(module, "run");
	return bind_tool && prepare_call && run_call ? 0 : -1;
}

int python_start(const struct wire_config *config, bool without_files, const char **ret_step)
{
	PyObject *module;
	int r;

	heap_prepare();
	PyObject_SetArenaAllocator(
		&(PyObjectArenaAllocator){ .alloc = take_arena, .free = give_back_arena });
	*ret_step = "python start";
	if (initialize(config) < 0)
		return -1;
	*ret_step = "python runtime";
	module = PyImport_ImportModule("mcpbox_runtime.call");
	if (!module) {
		PyErr_Print();
		return -1;
	}
	r = call_preload(module, config->with_http != 0, without_files);
	if (r < 0)
		PyErr_Print();
	Py_DECREF(module);
	return r;
}

static int call_and_forget(PyObject *result)
{
	if (!result) {
		PyErr_Print();
		return -1;
	}
	Py_DECREF(result);
	return 0;
}

int python_bind(const uint8_t *payload, size_t len, bool is_late)
{
	return call_and_forget(PyObject_CallFunction(bind_tool, "y#O", (const char *)payload,
						     (Py_ssize_t)len,
						     is_late ? Py_True : Py_False));
}

/* In os.environ, which calls putenv() as well. */
static int set_environment(const char *name, const char *value)
{
	PyObject *os = PyImport_ImportModule("os");
	PyObject *environment = os ? PyObject_GetAttrString(os, "environ") : NULL;
	PyObject *text = environment ? PyUnicode_DecodeFSDefault(value) : NULL;
	int r = text ? PyMapping_SetItemString(environment, name, text) : -1;

	Py_XDECREF(text);
	Py_XDECREF(environment);
	Py_XDECREF(os);
	return r;
}

int python_prepare(bool has_scratch, bool is_awaited)
{
	char here[PATH_MAX];

	if (has_scratch && (!getcwd(here, sizeof(here)) || set_environment("HOME", here) < 0 ||
			    set_environment("TMPDIR", here) < 0))
		return -1;
	return call_and_forget(PyObject_CallOneArg(prepare_call, is_awaited ? Py_True : Py_False));
}

void python_before_fork(void)
{
	PyOS_BeforeFork();
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

uint8_t *python_call_room(size_t len)
{
	Py_CLEAR(answer_bytes);
	Py_CLEAR(call_bytes);
	call_bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
	PyErr_Clear();
	return call_bytes ? (uint8_t *)PyBytes_AS_STRING(call_bytes) : NULL;
}

const char *python_run_call(size_t *ret_len)
{
	answer_bytes = PyObject_CallOneArg(run_call, call_bytes);
	if (!answer_bytes || !PyBytes_Check(answer_bytes))
		return last_words(ret_len);
	*ret_len = (size_t)PyBytes_GET_SIZE(answer_bytes);
	return PyBytes_AS_STRING(answer_bytes);
}
