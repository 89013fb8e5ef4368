"""Calls into C libraries without a detour: arguments are checked, put into registers, and the address is called.

The calling conventions of x86-64 (System V) and AArch64 pass integers and pointers in one file of registers and floating-point
numbers in another, each in the order of the parameters; what finds no register goes to the stack, a word each. A register that the
callee does not ask for is left alone by it, and so are words further up the stack. So one C function type, with all registers of
both files and some words of stack, calls any function of integers, pointers, floats and doubles: no code is generated, and none
is interpreted. Apple packs the stack tighter, so there only registers serve. Structs by value, variadic functions and other
machines are cffi's (odyssey.bridge.direct.general).

A function is described by numbers that odyssey.bridge.direct computes from its declaration. What does not have the very type that
was declared goes to a Python function, which converts it or explains.
"""
cimport cython
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from libc.math cimport isinf
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stddef cimport size_t
from numpy cimport (NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_WRITEABLE, PyArray_CHKFLAGS, PyArray_CheckExact,
                    PyArray_DATA, PyArray_DIMS, PyArray_ISNOTSWAPPED, PyArray_NBYTES, PyArray_NDIM, PyArray_SIZE, PyArray_TYPE,
                    NPY_INT64, ndarray)
cimport numpy as cnp

from odyssey._kernels.array cimport new_array, new_like
from odyssey._kernels.dispatch cimport parallel

cnp.import_array()

cdef extern from *:
    """
    #if defined(__x86_64__) && !defined(_WIN32)
    #define CROSSING_INTEGERS 6
    #define CROSSING_STACK 12
    #elif defined(__aarch64__) && defined(__APPLE__)
    #define CROSSING_INTEGERS 8
    #define CROSSING_STACK 0
    #elif defined(__aarch64__) && !defined(_WIN32)
    #define CROSSING_INTEGERS 8
    #define CROSSING_STACK 12
    #else
    #define CROSSING_INTEGERS 0
    #define CROSSING_STACK 0
    #endif

    typedef union crossing_word {
        uint64_t integer;
        double real;
        float narrow;
    } crossing_word;

    /* Words 0 to 7 are the integer registers, 8 to 15 the floating-point ones, the others the stack's. */
    enum { CROSSING_FIRST_REAL = 8, CROSSING_FIRST_STACKED = 16, CROSSING_WORDS = 28 };

    /* What a call needs beside the integer registers. */
    enum { CROSSING_REALS = 1, CROSSING_STACKED = 2, CROSSING_RETURNS_REAL = 4 };

    #if CROSSING_INTEGERS == 8
    #define CROSSING_I uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t
    #define CROSSING_I_OF(w) w[0].integer, w[1].integer, w[2].integer, w[3].integer, w[4].integer, w[5].integer, w[6].integer, w[7].integer
    #else
    #define CROSSING_I uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t
    #define CROSSING_I_OF(w) w[0].integer, w[1].integer, w[2].integer, w[3].integer, w[4].integer, w[5].integer
    #endif
    #define CROSSING_R double, double, double, double, double, double, double, double
    #define CROSSING_R_OF(w) w[8].real, w[9].real, w[10].real, w[11].real, w[12].real, w[13].real, w[14].real, w[15].real
    #define CROSSING_S uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t
    #define CROSSING_S_OF(w) w[16].integer, w[17].integer, w[18].integer, w[19].integer, w[20].integer, w[21].integer, \\
                 w[22].integer, w[23].integer, w[24].integer, w[25].integer, w[26].integer, w[27].integer

    static inline crossing_word crossing_call(void *address, int how, const crossing_word *w) {
        crossing_word result;
        switch (how) {
        case 0: result.integer = ((uint64_t (*)(CROSSING_I))address)(CROSSING_I_OF(w)); break;
        case CROSSING_REALS: result.integer = ((uint64_t (*)(CROSSING_I, CROSSING_R))address)(CROSSING_I_OF(w), CROSSING_R_OF(w)); break;
        case CROSSING_RETURNS_REAL: result.real = ((double (*)(CROSSING_I))address)(CROSSING_I_OF(w)); break;
        case CROSSING_REALS | CROSSING_RETURNS_REAL:
            result.real = ((double (*)(CROSSING_I, CROSSING_R))address)(CROSSING_I_OF(w), CROSSING_R_OF(w));
            break;
        case CROSSING_RETURNS_REAL | CROSSING_STACKED:
        case CROSSING_RETURNS_REAL | CROSSING_STACKED | CROSSING_REALS:
            result.real = ((double (*)(CROSSING_I, CROSSING_R, CROSSING_S))address)(CROSSING_I_OF(w), CROSSING_R_OF(w), CROSSING_S_OF(w));
            break;
        default: result.integer = ((uint64_t (*)(CROSSING_I, CROSSING_R, CROSSING_S))address)(CROSSING_I_OF(w), CROSSING_R_OF(w), CROSSING_S_OF(w));
        }
        return result;
    }

    /* Whether an int is of one digit, as sizes are; its value is at hand then. */
    static inline int crossing_small(PyObject *number, int64_t *value) {
    #if PY_VERSION_HEX >= 0x030C0000
        *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
        return PyUnstable_Long_IsCompact((PyLongObject *)number);
    #else
        *value = Py_SIZE(number) * (int64_t)((PyLongObject *)number)->ob_digit[0];
        return Py_SIZE(number) == 1 || Py_SIZE(number) == -1;
    #endif
    }
    """
    bint crossing_small(PyObject *number, int64_t *value) noexcept
    int CROSSING_INTEGERS
    int CROSSING_STACK
    enum:
        CROSSING_FIRST_REAL
        CROSSING_FIRST_STACKED
        CROSSING_WORDS
        CROSSING_REALS
        CROSSING_STACKED
        CROSSING_RETURNS_REAL
    ctypedef union crossing_word:
        uint64_t integer
        double real
        float narrow
    crossing_word crossing_call(void *address, int how, const crossing_word *w) noexcept nogil
    bint mul_overflow "__builtin_mul_overflow"(int64_t a, int64_t b, int64_t *result) noexcept
    bint add_overflow "__builtin_add_overflow"(int64_t a, int64_t b, int64_t *result) noexcept
    bint sub_overflow "__builtin_sub_overflow"(int64_t a, int64_t b, int64_t *result) noexcept

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL
    int METH_KEYWORDS
    object PyCFunction_NewEx(PyMethodDef *definition, object self, object module)
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1
    tuple PyTuple_New(Py_ssize_t)

cdef extern from "numpy/arrayobject.h":
    object PyArray_ToScalar(void *data, ndarray array)

# What a parameter or a result is. The numbers are those of odyssey.bridge.direct.declarations.
cdef enum Kind:
    VOID = 0
    SIGNED = 1
    UNSIGNED = 2
    TRUTH = 3
    FLOAT = 4
    DOUBLE = 5
    ARRAY = 6     # a pointer to numbers of a known type, or with no type number to those of any
    POINTER = 7   # any other pointer
    STATUS = 8    # results alone: 0 is None, anything else is explained in Python

# Size expressions, in the order in which a stack machine computes them.
cdef enum Step:
    CONSTANT = 0
    PARAMETER = 1
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    DIVIDE = 5

cdef enum:
    MOST_PARAMETERS = 28
    MOST_STEPS = 32
    NOT_ONE = -1
    UNKNOWN = -1 # how many elements stand behind a pointer

cdef struct Parameter:
    int kind, place, type_num, flags
    int64_t low, high
    int first_step, steps
    int only_step # the word of the parameter that is the whole size expression, or NOT_ONE

cdef struct Instruction:
    int step
    int64_t operand

# Which registers and how much of the stack there are to fill: (integer registers, floating-point registers, words of stack);
# no integer registers where only cffi can call.
REGISTERS = (CROSSING_INTEGERS, 8 if CROSSING_INTEGERS else 0, CROSSING_STACK)
FIRST_REAL, FIRST_STACKED = CROSSING_FIRST_REAL, CROSSING_FIRST_STACKED


@cython.final
cdef class Function:
    """A C function that can be called by filling registers.

    Args:
        name: as it was declared.
        doc: the docstring of the callable.
        address: where it is.
        parameters: for each (kind, bits, type number or -1, writable, place, size steps), as `declarations` makes them.
        result: (kind, bits).
        releases: whether the GIL is let go for the call.
        convert: (index, value) -> what to pass, for values that are not exactly what was declared: an int, a float, an array, bytes
            or None for NULL; raises for what does not fit.
        refuse: (index, found elements, expected) raises for an array that is too short; (-1, given, ...) for a wrong count.
        finish: of a result that is not a number: a status that is not 0, an address.
        names: of the parameters, for calls by name.
        owner: what keeps the library loaded.
    """
    cdef PyMethodDef definition
    cdef bytes c_name, c_doc
    cdef void *address
    cdef Parameter parameters[MOST_PARAMETERS]
    cdef Instruction *instructions
    cdef int count, how, result, result_bits
    cdef bint releases, sized
    cdef object convert, refuse, finish, owner
    cdef readonly str name
    cdef readonly tuple names

    def __cinit__(self, str name, str doc, address, list parameters, tuple result, bint releases, convert, refuse, finish,
                  tuple names, owner):
        cdef int i, steps = 0
        cdef Parameter *p
        self.name = name
        self.c_name = name.encode()
        self.c_doc = doc.encode()
        self.address = <void *> <uintptr_t> address
        self.names = names
        self.convert, self.refuse, self.finish, self.owner = convert, refuse, finish, owner
        self.releases = releases
        self.count = <int> len(parameters)
        self.result, self.result_bits = result
        if self.result in (FLOAT, DOUBLE):
            self.how |= CROSSING_RETURNS_REAL
        steps = sum([len(one[5]) for one in parameters])
        self.instructions = <Instruction *> PyMem_Calloc(steps + 1, sizeof(Instruction))
        if self.instructions == NULL:
            raise MemoryError
        steps = 0
        for i in range(self.count):
            p = &self.parameters[i]
            p.kind, bits, p.type_num, writable, p.place, program = parameters[i]
            p.flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | (NPY_ARRAY_WRITEABLE if writable else 0)
            if p.kind == SIGNED:
                p.low, p.high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
            elif p.kind == UNSIGNED:
                p.low, p.high = 0, (1 << min(bits, 63)) - 1
            if p.place >= CROSSING_FIRST_STACKED:
                self.how |= CROSSING_STACKED
            elif p.place >= CROSSING_FIRST_REAL:
                self.how |= CROSSING_REALS
            p.first_step = steps
            p.steps = <int> len(program)
            p.only_step = parameters[program[0][1]][4] if p.steps == 1 and program[0][0] == PARAMETER else NOT_ONE
            if p.steps:
                self.sized = True
            for step, operand in program:
                self.instructions[steps].step = step
                self.instructions[steps].operand = operand
                steps += 1

    def __dealloc__(self):
        PyMem_Free(self.instructions)

    def callable(self):
        """The function as Python calls it. It keeps this object alive."""
        self.definition.ml_name = self.c_name
        self.definition.ml_doc = self.c_doc
        self.definition.ml_meth = <void *> crossed
        self.definition.ml_flags = METH_FASTCALL | METH_KEYWORDS
        return PyCFunction_NewEx(&self.definition, self, None)


cdef inline bint takes_as_it_is(const Parameter *p, PyObject *given, crossing_word *word, int64_t *elements):
    """Whether the argument is exactly what was declared; if so it is in its word."""
    cdef int overflow = 0
    cdef int64_t number
    cdef ndarray array
    if p.kind == ARRAY:
        if not PyArray_CheckExact(<object> given):
            return False
        array = <ndarray> given
        if p.type_num >= 0 and (PyArray_TYPE(array) != p.type_num or not PyArray_ISNOTSWAPPED(array)):
            return False
        if not PyArray_CHKFLAGS(array, p.flags):
            return False
        word.integer = <uint64_t> PyArray_DATA(array)
        elements[0] = PyArray_SIZE(array)
        return True
    if p.kind == SIGNED or p.kind == UNSIGNED:
        if not PyLong_CheckExact(<object> given):
            return False
        if not crossing_small(given, &number):
            number = PyLong_AsLongLongAndOverflow(<object> given, &overflow)
        if overflow or number < p.low or number > p.high:
            return False
        word.integer = <uint64_t> number
        return True
    if p.kind == DOUBLE:
        if not PyFloat_CheckExact(<object> given):
            return False
        word.real = PyFloat_AS_DOUBLE(<object> given)
        return True
    if p.kind == FLOAT:
        if not PyFloat_CheckExact(<object> given):
            return False
        word.integer = 0
        word.narrow = <float> PyFloat_AS_DOUBLE(<object> given)
        return not isinf(word.narrow) or isinf(PyFloat_AS_DOUBLE(<object> given))
    if p.kind == TRUTH:
        word.integer = given == <PyObject *> True
        return given == <PyObject *> True or given == <PyObject *> False
    return False


cdef object converted(Function f, int i, PyObject *given, crossing_word *word, int64_t *elements):
    """What Python makes of an argument, in its word; returned is what must live as long as the call."""
    cdef const Parameter *p = &f.parameters[i]
    value = f.convert(i, <object> given)
    if isinstance(value, ndarray):
        word.integer = <uint64_t> PyArray_DATA(<ndarray> value)
        elements[0] = PyArray_SIZE(<ndarray> value)
    elif isinstance(value, bytes):
        word.integer = <uint64_t> <const char *> value
        elements[0] = len(value)
    elif value is None:
        word.integer = 0
        elements[0] = UNKNOWN
    elif p.kind == DOUBLE:
        word.real = value
    elif p.kind == FLOAT:
        word.integer = 0
        word.narrow = <float> <double> value
    else:
        # Addresses and numbers of 64 bits without a sign may be beyond the signed ones.
        word.integer = <uint64_t> value if value >= 0 else <uint64_t> <int64_t> value
        elements[0] = UNKNOWN
    return value


cdef int64_t size_of(Function f, const Parameter *p, const crossing_word *words) except? -1:
    """How many elements the declaration asks for; -2 where that is negative or does not fit."""
    cdef int64_t stack[MOST_STEPS]
    cdef int64_t operand
    cdef int top = 0, i
    cdef bint lost = False
    for i in range(p.first_step, p.first_step + p.steps):
        operand = f.instructions[i].operand
        if f.instructions[i].step == CONSTANT:
            stack[top] = operand
            top += 1
            continue
        if f.instructions[i].step == PARAMETER:
            stack[top] = <int64_t> words[f.parameters[operand].place].integer
            lost |= f.parameters[operand].kind == UNSIGNED and stack[top] < 0
            top += 1
            continue
        top -= 1
        if f.instructions[i].step == ADD:
            lost |= add_overflow(stack[top - 1], stack[top], &stack[top - 1])
        elif f.instructions[i].step == SUBTRACT:
            lost |= sub_overflow(stack[top - 1], stack[top], &stack[top - 1])
        elif f.instructions[i].step == MULTIPLY:
            lost |= mul_overflow(stack[top - 1], stack[top], &stack[top - 1])
        elif stack[top] <= 0:
            lost = True
            stack[top - 1] = 0
        else:
            stack[top - 1] = stack[top - 1] // stack[top]
    return -2 if lost or stack[0] < 0 else stack[0]


cdef inline object fill(Function f, PyObject **given, crossing_word *words):
    """The arguments into their words; returned is what must live as long as the call."""
    cdef int64_t elements[MOST_PARAMETERS]
    cdef int64_t expected
    cdef int i
    cdef const Parameter *p
    held = None
    for i in range(f.count):
        p = &f.parameters[i]
        if not takes_as_it_is(p, given[i], &words[p.place], &elements[i]):
            kept = converted(f, i, given[i], &words[p.place], &elements[i])
            held = [kept] if held is None else held + [kept]
    if f.sized:
        for i in range(f.count):
            p = &f.parameters[i]
            if p.steps == 0 or elements[i] == UNKNOWN:
                continue
            if p.only_step != NOT_ONE:
                expected = <int64_t> words[p.only_step].integer
            else:
                expected = size_of(f, p, words)
            if expected < 0 or elements[i] < expected:
                f.refuse(i, elements[i], tuple([<int64_t> words[f.parameters[j].place].integer for j in range(f.count)]))
    return held


cdef object result_of(Function f, crossing_word result):
    cdef int64_t code
    if f.result == STATUS:
        code = <int32_t> result.integer if f.result_bits == 32 else <int64_t> result.integer
        return None if code == 0 else f.finish(code)
    if f.result == VOID:
        return None
    if f.result == DOUBLE:
        return result.real
    if f.result == FLOAT:
        return <double> result.narrow
    # What is above the bits of a narrow result is not defined.
    if f.result == TRUTH:
        return <uint8_t> result.integer != 0
    if f.result == SIGNED:
        if f.result_bits == 32:
            return <int32_t> result.integer
        if f.result_bits == 64:
            return <int64_t> result.integer
        return <int8_t> result.integer if f.result_bits == 8 else <int16_t> result.integer
    if f.result == UNSIGNED:
        if f.result_bits == 32:
            return <uint32_t> result.integer
        if f.result_bits == 64:
            return result.integer
        return <uint8_t> result.integer if f.result_bits == 8 else <uint16_t> result.integer
    return f.finish(result.integer)


# While debugging, who changes the arguments of a call and looks at them after it: None, or a function of a call's name, its
# parameters' names, for each whether it is an array and may be written, and the values; it gives the values to pass and a
# function to call afterwards.
cdef object watcher = None


def watch(function):
    """Have every call watched; None ends that."""
    global watcher
    watcher = function


cdef object watched(Function f, PyObject **given):
    cdef crossing_word words[CROSSING_WORDS]
    cdef crossing_word result
    cdef PyObject *passed[MOST_PARAMETERS]
    cdef int i
    arrays = tuple([f.parameters[i].kind == ARRAY for i in range(f.count)])
    writable = tuple([(f.parameters[i].flags & NPY_ARRAY_WRITEABLE) != 0 for i in range(f.count)])
    values, close = watcher(f.name, f.names, arrays, writable, [<object> given[i] for i in range(f.count)])
    for i in range(f.count):
        passed[i] = <PyObject *> values[i]
    held = fill(f, passed, words)
    with nogil:
        result = crossing_call(f.address, f.how, words)
    close()
    return result_of(f, result)


cdef object crossed(PyObject *self, PyObject **given, Py_ssize_t count, PyObject *keywords):
    """What a callable of `Function` does."""
    cdef Function f = <Function> self
    cdef crossing_word words[CROSSING_WORDS]
    cdef crossing_word result
    cdef PyObject *ordered[MOST_PARAMETERS]
    if keywords != NULL:
        in_order(f, given, count, <tuple> keywords, ordered)
        given = ordered
    elif count != f.count:
        f.refuse(-1, count, ())
    if watcher is not None:
        return watched(f, given)
    held = fill(f, given, words)
    if f.releases:
        with nogil:
            result = crossing_call(f.address, f.how, words)
    else:
        result = crossing_call(f.address, f.how, words)
    return result_of(f, result)


cdef int in_order(Function f, PyObject **given, Py_ssize_t count, tuple keywords, PyObject **ordered) except -1:
    """The arguments of a call by name in the order of the parameters."""
    cdef Py_ssize_t i, place
    if count + len(keywords) != f.count:
        f.refuse(-1, count + len(keywords), ())
    for i in range(f.count):
        ordered[i] = given[i] if i < count else NULL
    for i in range(len(keywords)):
        place = f.names.index(keywords[i]) if keywords[i] in f.names else -1
        if place < 0 or ordered[place] != NULL:
            raise TypeError(f"{f.name}: expected the parameters {', '.join(f.names)}, each once; found {keywords[i]!r}")
        ordered[place] = given[count + i]
    return 0


# ---- many calls, one crossing ------------------------------------------------------------------------------------------

cdef struct Run:
    void *address
    int how, count
    int places[MOST_PARAMETERS]
    crossing_word *words
    crossing_word *results
    size_t calls, chunk


cdef void run_some(void *context, size_t task) noexcept nogil:
    """Calls number task * chunk and on."""
    cdef Run *run = <Run *> context
    cdef crossing_word words[CROSSING_WORDS]
    cdef size_t call, last = min(run.calls, (task + 1) * run.chunk)
    cdef const crossing_word *own
    cdef int i
    for call in range(task * run.chunk, last):
        own = run.words + call * <size_t> run.count
        for i in range(run.count):
            words[run.places[i]] = own[i]
        run.results[call] = crossing_call(run.address, run.how, words)


# Where an argument of an operation on arrays comes from; the numbers are those of odyssey.bridge.direct.batch.
cdef enum Source:
    FIRST_INPUT = 0
    SECOND_INPUT = 1
    THIRD_INPUT = 2
    SIZE = 3
    ROWS = 4
    LAST = 5
    ONE = 6
    OUT = 7
    FIXED = 8


cdef inline ndarray contiguous_of(object x, int type_num, object take, Py_ssize_t call, int place):
    if (PyArray_CheckExact(x) and PyArray_TYPE(<ndarray> x) == type_num and PyArray_ISNOTSWAPPED(<ndarray> x)
            and PyArray_CHKFLAGS(<ndarray> x, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED)):
        return <ndarray> x
    return take(x, call, place)


cdef inline bint one_shape(ndarray a, ndarray b) noexcept:
    cdef int axis
    if PyArray_NDIM(a) != PyArray_NDIM(b):
        return False
    for axis in range(PyArray_NDIM(a)):
        if PyArray_DIMS(a)[axis] != PyArray_DIMS(b)[axis]:
            return False
    return True


cdef ndarray checked_target(object out, ndarray first, bint like, int type_num, object refuse, Py_ssize_t call):
    if (not PyArray_CheckExact(out) or PyArray_TYPE(<ndarray> out) != type_num or not PyArray_ISNOTSWAPPED(<ndarray> out)
            or not PyArray_CHKFLAGS(<ndarray> out, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE)):
        refuse(call, "expected an out of the result's dtype, contiguous and writable", x=first, out=out)
    if not (one_shape(<ndarray> out, first) if like else PyArray_NDIM(<ndarray> out) == 0):
        refuse(call, "expected an out of the result's shape", x=first, out=out)
    return <ndarray> out


cdef int check_apart(ndarray out, ndarray x, object refuse, Py_ssize_t call) except -1:
    """The very same memory, or none in common; both are contiguous."""
    cdef const char *a = <const char *> PyArray_DATA(out)
    cdef const char *b = <const char *> PyArray_DATA(x)
    cdef bint same = a == b and PyArray_NBYTES(out) == PyArray_NBYTES(x)
    if not same and a < b + PyArray_NBYTES(x) and b < a + PyArray_NBYTES(out):
        refuse(call, "expected an out that is an input or does not overlap it", x=x, out=out)
    return 0


@cython.final
cdef class Calls:
    """Calls of one function, their arguments checked and laid out: running them again costs nothing but the work.

    Args:
        function: what is called.
        arguments: a tuple of arguments for each call.
    """
    cdef Run run
    cdef Function function
    cdef list held
    cdef list outputs               # of operations on arrays, the results
    cdef bint scalars               # whether one of them has no axes
    cdef readonly Py_ssize_t elements

    def __init__(self, Function function, list arguments):
        cdef Py_ssize_t call
        cdef int i
        cdef crossing_word words[CROSSING_WORDS]
        cdef PyObject *given[MOST_PARAMETERS]
        self.prepare(function, len(arguments))
        for call in range(len(arguments)):
            one = <tuple> arguments[call]
            if len(one) != function.count:
                function.refuse(-1, len(one), ())
            for i in range(function.count):
                given[i] = <PyObject *> one[i]
            self.held.append((one, fill(function, given, words)))
            for i in range(function.count):
                self.run.words[call * function.count + i] = words[function.parameters[i].place]

    @staticmethod
    def of_arrays(Function function, list items, list layout, list fixed, int inputs, str result, take, refuse, list out):
        """Calls of an operation on arrays, whose other arguments follow from their shapes.

        Args:
            function: what is called.
            items: an array a call, or a tuple of them.
            layout: for each parameter where its argument comes from (Source).
            fixed: the arguments that are the same for all calls.
            inputs: how many arrays a call is given, all of one shape.
            result: "like" the first array, "one" number of its type, or a "place", an int64.
            take: (array, call, place) -> what to take for an array that is not contiguous and of the type of all.
            refuse: (call, why, **arrays) raises.
            out: where to write, or None.
        """
        cdef Calls calls = Calls.__new__(Calls)
        cdef Py_ssize_t call, size, last
        cdef int i, j, type_num, place
        cdef crossing_word constants[MOST_PARAMETERS]
        cdef crossing_word words[CROSSING_WORDS]
        cdef int64_t elements[MOST_PARAMETERS]
        cdef PyObject *given[3]
        cdef ndarray first, target, one
        cdef bint like = result == "like"
        cdef int out_type = NPY_INT64 if result == "place" else function.parameters[0].type_num
        cdef crossing_word *own
        cdef int sources[MOST_PARAMETERS]
        cdef bint fitted # whether a constant array's length depends on those of the others
        calls.prepare(function, len(items))
        calls.outputs = [None] * len(items)
        calls.scalars = not like
        fitted = False
        calls.held.append((items, fixed, out))
        j = 0
        for i in range(function.count):
            sources[i] = layout[i]
            elements[i] = UNKNOWN
            if sources[i] == FIXED:
                value = fixed[j]
                j += 1
                if not takes_as_it_is(&function.parameters[i], <PyObject *> value, &constants[i], &elements[i]):
                    calls.held.append(converted(function, i, <PyObject *> value, &constants[i], &elements[i]))
                fitted |= function.parameters[i].steps > 0 and elements[i] != UNKNOWN
        type_num = function.parameters[0].type_num
        for call in range(len(items)):
            item = items[call]
            if inputs == 1 and not isinstance(item, tuple):
                one = contiguous_of(item, type_num, take, call, 0)
                if one is not item:
                    calls.held.append(one)
                given[0] = <PyObject *> one
            else:
                if not isinstance(item, tuple) or len(<tuple> item) != inputs:
                    refuse(call, f"expected {inputs} array{'s' * (inputs > 1)}")
                for i in range(inputs):
                    one = contiguous_of((<tuple> item)[i], type_num, take, call, i)
                    if one is not (<tuple> item)[i]:
                        calls.held.append(one)
                    given[i] = <PyObject *> one
            first = <ndarray> given[0]
            for i in range(1, inputs):
                if not one_shape(first, <ndarray> given[i]):
                    refuse(call, "expected arrays of one shape", first=first, other=<object> given[i])
            size = PyArray_SIZE(first)
            last = PyArray_DIMS(first)[PyArray_NDIM(first) - 1] if PyArray_NDIM(first) else 1
            if out is not None:
                target = checked_target(out[call], first, like, out_type, refuse, call)
                for i in range(inputs):
                    check_apart(target, <ndarray> given[i], refuse, call)
            elif like:
                target = new_like(first, type_num)
            else:
                target = new_array(0, NULL, out_type)
            calls.outputs[call] = target
            calls.scalars |= PyArray_NDIM(target) == 0
            calls.elements += size
            own = calls.run.words + call * function.count
            for i in range(function.count):
                if sources[i] <= THIRD_INPUT:
                    own[i].integer = <uint64_t> PyArray_DATA(<ndarray> given[sources[i]])
                elif sources[i] == SIZE:
                    own[i].integer = <uint64_t> size
                elif sources[i] == LAST:
                    own[i].integer = <uint64_t> last
                elif sources[i] == ROWS:
                    own[i].integer = <uint64_t> (size // last if last else 0)
                elif sources[i] == ONE:
                    own[i].integer = 1
                elif sources[i] == OUT:
                    own[i].integer = <uint64_t> PyArray_DATA(target)
                else:
                    own[i] = constants[i]
            if fitted:
                for i in range(function.count):
                    words[function.parameters[i].place] = own[i]
                for i in range(function.count):
                    if function.parameters[i].steps and elements[i] != UNKNOWN:
                        if elements[i] < size_of(function, &function.parameters[i], words):
                            refuse(call, f"expected {function.names[i]} to be as long as the last axis", x=first)
        return calls

    cdef int prepare(self, Function function, Py_ssize_t calls) except -1:
        cdef int i
        self.function = function
        self.held = []
        self.run.address = function.address
        self.run.how = function.how
        self.run.count = function.count
        self.run.calls = <size_t> calls
        for i in range(function.count):
            self.run.places[i] = function.parameters[i].place
        self.run.words = <crossing_word *> PyMem_Calloc(<size_t> (calls * function.count) + 1, sizeof(crossing_word))
        self.run.results = <crossing_word *> PyMem_Calloc(<size_t> calls + 1, sizeof(crossing_word))
        if self.run.words == NULL or self.run.results == NULL:
            raise MemoryError
        return 0

    def __dealloc__(self):
        PyMem_Free(self.run.words)
        PyMem_Free(self.run.results)

    def __len__(self) -> int:
        return <Py_ssize_t> self.run.calls

    def perform(self, size_t chunk=0):
        """All calls in their order, without the GIL; with a chunk, that many at a time shared among the threads of the pool."""
        with nogil:
            if chunk == 0 or chunk >= self.run.calls:
                self.run.chunk = self.run.calls
                if self.run.calls:
                    run_some(&self.run, 0)
            else:
                self.run.chunk = chunk
                parallel(run_some, &self.run, (self.run.calls + chunk - 1) // chunk)

    cdef bint all_well(self) noexcept:
        cdef size_t call
        cdef uint64_t bits = 0
        for call in range(self.run.calls):
            bits |= self.run.results[call].integer
        return bits == 0 if self.function.result_bits == 64 else <uint32_t> bits == 0

    cdef list numbers(self):
        """The outputs; those without axes as NumPy's scalars."""
        if not self.scalars:
            return list(self.outputs)
        return [PyArray_ToScalar(PyArray_DATA(<ndarray> one), <ndarray> one) if PyArray_NDIM(<ndarray> one) == 0 else one for one in self.outputs]

    def results(self) -> list:
        """What the calls returned, a status turned into None or an exception; of operations on arrays the outputs."""
        cdef size_t call = 0
        cdef list returned
        if self.function.result == VOID or (self.function.result == STATUS and self.all_well()):
            return self.numbers() if self.outputs is not None else [None] * len(self)
        returned = []
        try:
            for call in range(self.run.calls):
                returned.append(result_of(self.function, self.run.results[call]))
        except Exception as error:
            error.add_note(f"in call {call} of {self.run.calls}, counted from 0")
            raise
        return returned
