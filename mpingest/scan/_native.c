/* Reading the names of a directory and stat'ing them in batches, with the GIL released.
 *
 * The classes and their meaning are those of _portable.py, which takes over where this isn't built.
 */

#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "entries are little-endian"
#endif

/* ---- names ---------------------------------------------------------------------------------------------------- */

/* What getdents64 fills a buffer with (linux/dirent.h); records are aligned to 8 bytes. */
struct record {
    uint64_t inode;
    int64_t position;
    uint16_t size;
    uint8_t type;
    char name[];
};

enum { BUFFER_SIZE = 64 * 1024, HEADER_SIZE = offsetof(struct record, name) };

typedef struct {
    PyObject_HEAD
    int fd;
    int error;     /* errno that ended the reading */
    bool ended;
    bool reading;  /* a thread is at it */
    size_t at;
    size_t filled;
    char *buffer;
} NameReader;

/* Names found by one call of read. */
struct names {
    char *blob;
    size_t size, room;
    uint32_t *offsets;
    uint8_t *types;
    size_t count, slots;
};

static bool
has_room(struct names *names, size_t length)
{
    if (names->count == names->slots) {
        size_t slots = names->slots ? 2 * names->slots : 256;
        uint32_t *offsets = realloc(names->offsets, (slots + 1) * sizeof *offsets);
        if (offsets == NULL)
            return false;
        names->offsets = offsets;
        uint8_t *types = realloc(names->types, slots);
        if (types == NULL)
            return false;
        names->types = types;
        names->slots = slots;
        names->offsets[0] = 0;
    }
    if (names->size + length > names->room) {
        size_t room = 2 * names->room + length + 8192;
        char *blob = realloc(names->blob, room);
        if (blob == NULL)
            return false;
        names->blob = blob;
        names->room = room;
    }
    return names->size + length <= UINT32_MAX;
}

static bool
is_dot(const char *name, size_t length)
{
    return name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
}

/* Adds names until there are as many as wanted or the directory ends. Returns 0 or an errno. Without the GIL. */
static int
read_names(NameReader *self, struct names *names, size_t most)
{
    while (names->count < most && !self->ended) {
        if (self->at == self->filled) {
            long filled = syscall(SYS_getdents64, self->fd, self->buffer, (size_t)BUFFER_SIZE);
            if (filled < 0 && errno != ENOENT)
                return errno;
            if (filled <= 0) { /* POSIX wants a directory that was removed meanwhile to be simply at its end */
                self->ended = true;
                return 0;
            }
            self->at = 0;
            self->filled = (size_t)filled;
        }
        size_t left = self->filled - self->at;
        const struct record *record = (const struct record *)(self->buffer + self->at);
        if (left < HEADER_SIZE || record->size < HEADER_SIZE || record->size > left)
            return EIO;
        self->at += record->size;
        size_t length = strnlen(record->name, record->size - HEADER_SIZE);
        if (length == 0 || is_dot(record->name, length))
            continue;
        if (!has_room(names, length))
            return ENOMEM;
        memcpy(names->blob + names->size, record->name, length);
        names->size += length;
        names->types[names->count] = record->type;
        names->offsets[++names->count] = (uint32_t)names->size;
    }
    return 0;
}

static PyObject *
names_as_tuple(const struct names *names)
{
    static const uint32_t start = 0;
    const void *offsets = names->count ? names->offsets : &start;
    return Py_BuildValue("(y#y#y#)", names->blob ? names->blob : "", (Py_ssize_t)names->size, offsets,
                         (Py_ssize_t)((names->count + 1) * sizeof start), names->types ? (char *)names->types : "",
                         (Py_ssize_t)names->count);
}

static PyObject *
reader_read(NameReader *self, PyObject *argument)
{
    Py_ssize_t most = PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (self->buffer == NULL || self->reading) {
        PyErr_SetString(PyExc_ValueError, self->reading ? "read by two threads" : "read after close");
        return NULL;
    }
    struct names names = {0};
    PyObject *result = NULL;
    int error = self->error;
    while (error == 0 && !self->ended) {
        self->reading = true;
        Py_BEGIN_ALLOW_THREADS
        error = read_names(self, &names, most < 0 ? 0 : (size_t)most);
        Py_END_ALLOW_THREADS
        self->reading = false;
        if (error != EINTR)
            break;
        if (PyErr_CheckSignals() < 0)
            goto done;
        error = 0;
    }
    self->error = error;
    if (error != 0 && names.count == 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        goto done;
    }
    result = names_as_tuple(&names);
done:
    free(names.blob);
    free(names.offsets);
    free(names.types);
    return result;
}

static PyObject *
reader_close(NameReader *self, PyObject *Py_UNUSED(none))
{
    if (self->reading) {
        PyErr_SetString(PyExc_ValueError, "closed while a thread reads");
        return NULL;
    }
    free(self->buffer);
    self->buffer = NULL;
    Py_RETURN_NONE;
}

static PyObject *
reader_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"fd", "with_types", NULL};
    int fd, with_types; /* types cost nothing here */
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "ip:NameReader", names, &fd, &with_types))
        return NULL;
    NameReader *self = (NameReader *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->fd = fd;
    self->buffer = malloc(BUFFER_SIZE);
    if (self->buffer == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
reader_dealloc(NameReader *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free(self->buffer);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef reader_methods[] = {
    {"read", (PyCFunction)reader_read, METH_O, "The next names, at most so many: (blob, offsets, types)."},
    {"close", (PyCFunction)reader_close, METH_NOARGS, "Give back what the reading needed."},
    {NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, reader_methods},
    {Py_tp_doc, "Reads the names of an open directory."},
    {0},
};

static PyType_Spec reader_spec = {
    .name = "mpingest.scan._native.NameReader",
    .basicsize = sizeof(NameReader),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = reader_slots,
};

/* ---- stats ---------------------------------------------------------------------------------------------------- */

/* ENTRY_DTYPE of entries.py. */
struct row {
    uint32_t mode, nlink, uid, gid;
    uint64_t inode;
    int64_t size, mtime_ns, ctime_ns;
};

_Static_assert(sizeof(struct row) == 48, "rows are packed");

enum { LONGEST_NAME = 4096 };

typedef struct {
    PyObject_HEAD
    int fd;
    bool follow;
    size_t count;
    size_t taken;  /* names that threads have taken; atomic */
    size_t failed; /* names whose stat failed; atomic */
    Py_buffer blob, offsets, rows, errnos;
} StatBatch;

static int64_t
nanoseconds(int64_t seconds, int64_t rest)
{
    int64_t whole;
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &whole) || __builtin_add_overflow(whole, rest, &whole))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return whole;
}

static void
fill_row(struct row *row, const struct stat *status)
{
    row->mode = status->st_mode;
    row->nlink = (uint64_t)status->st_nlink > UINT32_MAX ? UINT32_MAX : (uint32_t)status->st_nlink;
    row->uid = status->st_uid;
    row->gid = status->st_gid;
    row->inode = status->st_ino;
    row->size = status->st_size;
    row->mtime_ns = nanoseconds(status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
    row->ctime_ns = nanoseconds(status->st_ctim.tv_sec, status->st_ctim.tv_nsec);
}

/* Returns 0 or an errno. */
static int
stat_name(const StatBatch *self, size_t index)
{
    const uint32_t *offsets = self->offsets.buf;
    size_t length = offsets[index + 1] - offsets[index];
    char name[LONGEST_NAME];
    struct stat status;
    struct row row;

    if (length >= sizeof name)
        return ENAMETOOLONG;
    memcpy(name, (const char *)self->blob.buf + offsets[index], length);
    name[length] = '\0';
    if (fstatat(self->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    fill_row(&row, &status);
    if (self->follow && S_ISLNK(status.st_mode)) {
        uint32_t mode = row.mode;
        if (fstatat(self->fd, name, &status, 0) == 0 && S_ISREG(status.st_mode)) {
            fill_row(&row, &status);
            row.mode = mode;
        }
    }
    memcpy((char *)self->rows.buf + index * sizeof row, &row, sizeof row);
    return 0;
}

static int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds(time.tv_sec, time.tv_nsec);
}

struct turn {
    size_t most, grain, done;
    int64_t limit, began, spent;
    size_t from, to; /* names taken and not yet done */
};

/* Stats names as long as the turn lasts. Returns whether a signal came in between. Without the GIL. */
static bool
take_turn(StatBatch *self, struct turn *turn)
{
    int32_t *errnos = self->errnos.buf;
    for (;;) {
        for (; turn->from < turn->to; turn->from++, turn->done++) {
            int error = stat_name(self, turn->from);
            if (error == EINTR)
                return true;
            if (error != 0)
                __atomic_add_fetch(&self->failed, 1, __ATOMIC_RELAXED);
            __atomic_store_n(&errnos[turn->from], error, __ATOMIC_RELEASE);
        }
        turn->spent = now() - turn->began;
        if (turn->done >= turn->most || turn->spent >= turn->limit)
            return false;
        size_t wanted = turn->most - turn->done < turn->grain ? turn->most - turn->done : turn->grain;
        if (__atomic_load_n(&self->taken, __ATOMIC_RELAXED) >= self->count)
            return false;
        turn->from = __atomic_fetch_add(&self->taken, wanted, __ATOMIC_RELAXED);
        if (turn->from >= self->count)
            return false;
        turn->to = wanted > self->count - turn->from ? self->count : turn->from + wanted;
    }
}

static PyObject *
batch_run(StatBatch *self, PyObject *args)
{
    Py_ssize_t most, grain;
    long long limit;
    if (!PyArg_ParseTuple(args, "nnL:run", &most, &grain, &limit))
        return NULL;
    if (most < 0 || grain < 1) {
        PyErr_SetString(PyExc_ValueError, "too few names to take");
        return NULL;
    }
    struct turn turn = {.most = (size_t)most, .grain = (size_t)grain, .limit = limit, .began = now()};
    bool interrupted;
    do {
        Py_BEGIN_ALLOW_THREADS
        interrupted = take_turn(self, &turn);
        Py_END_ALLOW_THREADS
        if (interrupted && PyErr_CheckSignals() < 0)
            return NULL;
    } while (interrupted);
    return Py_BuildValue("(nL)", (Py_ssize_t)turn.done, (long long)turn.spent);
}

static PyObject *
batch_left(StatBatch *self, void *Py_UNUSED(closure))
{
    size_t taken = __atomic_load_n(&self->taken, __ATOMIC_RELAXED);
    return PyLong_FromSize_t(taken < self->count ? self->count - taken : 0);
}

static PyObject *
batch_failed(StatBatch *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(__atomic_load_n(&self->failed, __ATOMIC_RELAXED));
}

/* Whether the arrays belong together, so that nothing outside of them is ever touched. */
static bool
is_sound(const StatBatch *self)
{
    const uint32_t *offsets = self->offsets.buf;
    if (self->offsets.len < 4 || self->offsets.len % 4 || (uintptr_t)offsets % 4 || (uintptr_t)self->errnos.buf % 4) {
        PyErr_SetString(PyExc_ValueError, "offsets or errnos that are no array of 32-bit numbers");
        return false;
    }
    size_t count = (size_t)self->offsets.len / 4 - 1;
    if ((size_t)self->rows.len != count * sizeof(struct row) || (size_t)self->errnos.len != count * 4) {
        PyErr_SetString(PyExc_ValueError, "arrays of different lengths");
        return false;
    }
    bool ordered = offsets[0] == 0 && offsets[count] == (size_t)self->blob.len;
    for (size_t i = 0; i < count && ordered; i++)
        ordered = offsets[i] <= offsets[i + 1];
    if (!ordered)
        PyErr_SetString(PyExc_ValueError, "offsets that are not those of the names");
    return ordered;
}

static PyObject *
batch_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"fd", "blob", "offsets", "rows", "errnos", "follow", NULL};
    StatBatch *self = (StatBatch *)type->tp_alloc(type, 0);
    int follow;
    if (self == NULL)
        return NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iy*y*w*w*$p:StatBatch", names, &self->fd, &self->blob,
                                     &self->offsets, &self->rows, &self->errnos, &follow)
        || !is_sound(self)) {
        Py_DECREF(self);
        return NULL;
    }
    self->follow = follow;
    self->count = (size_t)self->offsets.len / 4 - 1;
    return (PyObject *)self;
}

static void
batch_dealloc(StatBatch *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->blob);
    PyBuffer_Release(&self->offsets);
    PyBuffer_Release(&self->rows);
    PyBuffer_Release(&self->errnos);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef batch_methods[] = {
    {"run", (PyCFunction)batch_run, METH_VARARGS, "Stat names (most, grain, nanoseconds): (done, nanoseconds)."},
    {NULL},
};

static PyGetSetDef batch_getset[] = {
    {"left", (getter)batch_left, NULL, "Names that no thread has taken yet."},
    {"failed", (getter)batch_failed, NULL, "Names whose stat failed."},
    {NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_new, batch_new},
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_methods, batch_methods},
    {Py_tp_getset, batch_getset},
    {Py_tp_doc, "Names of an open directory to be stat'ed by any number of threads."},
    {0},
};

static PyType_Spec batch_spec = {
    .name = "mpingest.scan._native.StatBatch",
    .basicsize = sizeof(StatBatch),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = batch_slots,
};

/* ---- module --------------------------------------------------------------------------------------------------- */

static int
add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int status = type == NULL ? -1 : PyModule_AddObjectRef(module, name, type);
    Py_XDECREF(type);
    return status;
}

static int
module_exec(PyObject *module)
{
    if (add_type(module, "NameReader", &reader_spec) < 0)
        return -1;
    return add_type(module, "StatBatch", &batch_spec);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mpingest.scan._native",
    .m_doc = "Names and stats of directories, with the GIL released.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module);
}
