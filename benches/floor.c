/* A context manager that does nothing but read the monotonic clock at both ends: built by floor.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

static struct timespec last;

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
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject block_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor_block.Block",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = methods,
    .tp_new = PyType_GenericNew,
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "floor_block", .m_size = -1};

PyMODINIT_FUNC PyInit_floor_block(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyType_Ready(&block_type) < 0)
        return NULL;
    Py_INCREF(&block_type);
    if (PyModule_AddObject(module, "Block", (PyObject *)&block_type) < 0)
        return NULL;
    return module;
}
