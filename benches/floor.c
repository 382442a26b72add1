/* What does nothing, or the least, in the way of a metric: built by floor.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* A context manager, which a method returns, that does nothing but read the monotonic clock at both ends. */

static struct timespec last;

static PyObject *block_time(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    Py_INCREF(self);
    return self;
}

static PyObject *enter(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    clock_gettime(CLOCK_MONOTONIC, &last);
    Py_INCREF(self);
    return self;
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    (void)args;
    (void)count;
    clock_gettime(CLOCK_MONOTONIC, &last);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"time", block_time, METH_NOARGS, NULL},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject block_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor_module.Block",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = methods,
    .tp_new = PyType_GenericNew,
};

/* A child without attributes, counts and labels of its own: where its value stands. Subclassed in Python, so that it has a
   __dict__ and is tracked by the garbage collector as the objects of a class are. */
typedef struct {
    PyObject_HEAD
    char *value;
} Child;

static PyObject *inc(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    double value;
    memcpy(&value, ((Child *)self)->value, sizeof value);
    value += 1;
    memcpy(((Child *)self)->value, &value, sizeof value);
    Py_RETURN_NONE;
}

static PyMethodDef child_methods[] = {
    {"inc", inc, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject child_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor_module.Child",
    .tp_basicsize = sizeof(Child),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_methods = child_methods,
    .tp_new = PyType_GenericNew,
};

/* Keeps children by their label values, and appends an entry of the official layout for each new one: the key's length, the
   key with spaces up to a multiple of eight, value and timestamp; then the file's header says how much is used. */
typedef struct {
    PyObject_HEAD
    PyTypeObject *child_class;
    PyObject *children;
    Py_buffer memory;
    int32_t used;
} Family;

static const char *const PARTS[] = {
    "[\"bench_children\", \"bench_children_total\", {\"method\": \"", "\", \"path\": \"", "\"}, \"Help.\"]"};

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

/* Appends the entry of two label values, in which nothing needs an escape, and returns where its value stands. */
static char *append(Family *family, PyObject *const *values)
{
    Py_ssize_t lens[2];
    const char *method = PyUnicode_AsUTF8AndSize(values[0], &lens[0]);
    const char *path = PyUnicode_AsUTF8AndSize(values[1], &lens[1]);
    if (method == NULL || path == NULL)
        return NULL;
    if (family->memory.len - family->used < lens[0] + lens[1] + 256) {
        PyErr_SetString(PyExc_MemoryError, "the file is full");
        return NULL;
    }
    char *entry = (char *)family->memory.buf + family->used, *at = entry + sizeof(int32_t);
    at = put(at, PARTS[0], strlen(PARTS[0]));
    at = put(at, method, lens[0]);
    at = put(at, PARTS[1], strlen(PARTS[1]));
    at = put(at, path, lens[1]);
    at = put(at, PARTS[2], strlen(PARTS[2]));
    while ((at - entry) % 8 != 0)
        *at++ = ' ';
    int32_t len = (int32_t)(at - entry - sizeof len);
    memcpy(entry, &len, sizeof len);
    memset(at, 0, 2 * sizeof(double));
    family->used += (int32_t)(at - entry + 2 * sizeof(double));
    __atomic_store_n((int32_t *)family->memory.buf, family->used, __ATOMIC_RELEASE);
    return at;
}

static PyObject *labels(PyObject *self, PyObject *const *values, Py_ssize_t count)
{
    Family *family = (Family *)self;
    PyObject *key = count == 2 ? PyTuple_Pack(2, values[0], values[1]) : NULL;
    if (key == NULL)
        return NULL;
    PyObject *child = PyDict_GetItemWithError(family->children, key);
    Py_XINCREF(child);
    if (child == NULL && !PyErr_Occurred()) {
        child = family->child_class->tp_alloc(family->child_class, 0);
        if (child != NULL && ((((Child *)child)->value = append(family, values)) == NULL ||
                              PyDict_SetItem(family->children, key, child) < 0))
            Py_CLEAR(child);
    }
    Py_DECREF(key);
    return child;
}

static int begin(PyObject *self, PyObject *args, PyObject *nothing)
{
    (void)nothing;
    Family *family = (Family *)self;
    if (!PyArg_ParseTuple(args, "O!w*", &PyType_Type, &family->child_class, &family->memory))
        return -1;
    Py_INCREF(family->child_class);
    family->used = 8;
    family->children = PyDict_New();
    return family->children == NULL ? -1 : 0;
}

static PyMethodDef family_methods[] = {
    {"labels", (PyCFunction)(void (*)(void))labels, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

/* There is one, which lives as long as the program. */
static PyTypeObject family_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor_module.Family",
    .tp_basicsize = sizeof(Family),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = family_methods,
    .tp_init = begin,
    .tp_new = PyType_GenericNew,
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "floor_module", .m_size = -1};

PyMODINIT_FUNC PyInit_floor_module(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddType(module, &block_type) < 0 || PyModule_AddType(module, &child_type) < 0 ||
        PyModule_AddType(module, &family_type) < 0)
        return NULL;
    return module;
}
