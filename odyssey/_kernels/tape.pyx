"""The tape's inner loop: edges, what a Tensor holds in C, one operation's record, and the walk back.

A network at batch 1 is bounded by the cost of this file, so it stays flat and in C. What it means is told in
`odyssey.tensor.tape`, whose other half it is.
"""
cimport cython
from cpython.buffer cimport PyObject_GetBuffer
from cpython.object cimport PyObject, PyTypeObject
from numpy cimport PyArray_DIMS, PyArray_NDIM, ndarray
cimport numpy as cnp

from contextvars import ContextVar

import numpy as np

from odyssey._kernels.array import Block

cnp.import_array()

cdef extern from "Python.h":
    int PyContextVar_Get(PyObject *var, PyObject *default_value, PyObject **value) except -1
    Py_ssize_t Py_REFCNT(PyObject *o)
    void Py_DECREF(PyObject *o)

cdef extern from "numpy/arrayobject.h":
    object array_from_scalar "PyArray_FromScalar" (object scalar, void *dtype)

cdef object _recording = ContextVar("odyssey_recording", default=True)
recording = _recording
is_grad_enabled = _recording.get

cdef long long _last_number = 0    # of the last node or write: one sequence, in the order in which they happened
cdef long long _last_write = 0
cdef object _Tensor = None         # the class that `record` makes
cdef object _ops = None            # the operations that gradients are added with
cdef object _check_saved = None    # raises where what a node saved was overwritten
cdef object _view_edge = None      # makes the edge of a view of a Tensor that was written to
cdef tuple _NOTHING = ()
cdef object _generic = np.generic


def bind(tensor_class, operations, check_saved, view_edge):
    """Tell this module of what lies above it: the class of Tensors, the array operations, who checks a node whose
    saved arrays may have been overwritten, and who makes a view's edge anew."""
    global _Tensor, _ops, _check_saved, _view_edge
    _Tensor, _ops, _check_saved, _view_edge = tensor_class, operations, check_saved, view_edge


def note_write():
    """The number of a write to memory that a node may have saved; nodes with a lower one are checked when used."""
    global _last_number, _last_write
    _last_number += 1
    _last_write = _last_number
    return _last_write


cdef inline bint grad_enabled() except -1:
    cdef PyObject *value
    PyContextVar_Get(<PyObject *> _recording, NULL, &value)
    cdef bint enabled = (<object> value) is True
    Py_DECREF(value)
    return enabled


# ---- edges ------------------------------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Leaf:
    """Where the gradient of a Tensor that the user made is kept.

    `clear` sets the gradient to None and remembers its array, and the next step's gradient is written straight into
    it: a training loop allocates its gradients once. An array that anybody else still holds (a user who kept last
    step's `p.grad`, or a view of it) is not reused; the reference count tells.
    """
    cdef public object grad
    cdef object spare

    def out(self):
        """An array that this step's gradient may be written into, once; None where there is none."""
        cdef object spare = self.spare
        if spare is None or self.grad is not None or Py_REFCNT(<PyObject *> spare) > 2:  # ours and this function's
            return None
        self.spare = None
        return spare

    cpdef receive(self, grad, bint fresh):
        """Add `grad`; `fresh` if it is a new array that may be kept."""
        if self.grad is not None:
            _ops.add(self.grad, grad, self.grad)
        elif fresh:
            self.grad = grad
        else:
            self.grad = np.array(grad, order="C")  # a view or shared: the optimizer needs its own

    def clear(self):
        """Set the gradient to None, and keep its array for the next."""
        if self.grad is not None:
            self.spare, self.grad = self.grad, None


@cython.final
@cython.auto_pickle(False)
@cython.freelist(256)
cdef class Node:
    """One operation on the tape."""
    cdef public object backward
    cdef public tuple inputs
    cdef public object saved
    cdef public object grad
    cdef public bint owned
    cdef readonly long long number

    def __cinit__(self, backward, tuple inputs, saved):
        global _last_number
        _last_number += 1
        self.number = _last_number
        self.backward = backward
        self.inputs = inputs
        self.saved = saved

    def out(self):
        """None, as said of `Leaf.out`."""
        return None  # an intermediate gradient has no buffer of its own; the kernel allocates

    cpdef receive(self, grad, bint fresh):
        """Add `grad`; `fresh` if it is a new array that may be written to."""
        if self.grad is None:
            self.grad = grad
            self.owned = fresh
        elif self.owned:
            _ops.add(self.grad, grad, self.grad)
        else:
            self.grad = np.asarray(_ops.add(self.grad, grad))
            self.owned = True


# ---- what a Tensor holds ----------------------------------------------------------------------------------------------

@cython.auto_pickle(False)
cdef class TensorBase:
    """A Tensor's array, its edge on the tape, and the Tensor that it is a view of.

    A view of a Tensor knows its `base` and the edge which that had when the view was taken. Where the base was written
    to since, the view's own history no longer tells how its values came to be, and is made anew from the base's.
    """
    cdef object array
    cdef object edge
    cdef TensorBase _base
    cdef object seen
    cdef object __weakref__

    @property
    def data(self):
        """The array, as a `numpy.ndarray`."""
        return self.array

    @data.setter
    def data(self, value):
        self.array = value
        self._base = self.seen = None

    @property
    def node(self):
        """The edge of this Tensor on the tape: a Node, a Leaf, or None where no gradient is wanted."""
        return edge_of(self)

    @node.setter
    def node(self, value):
        self.edge = value
        self._base = self.seen = None

    @property
    def base(self):
        """The Tensor that this one is a view of, or None."""
        return self._base

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyObject_GetBuffer(self.array, buffer, flags)


cdef inline object edge_of(TensorBase tensor):
    cdef TensorBase base = tensor._base
    if base is not None and base.edge is not tensor.seen:
        tensor.edge = None if base.edge is None else _view_edge(base, tensor)
        tensor.seen = base.edge
    return tensor.edge


def rebase(TensorBase tensor, edge, write_to_base):
    """Give a Tensor that was written to the edge that tells of it; where it is a view, its base changed with it.

    `write_to_base(base, tensor, edge)` gives the base's new edge.
    """
    cdef TensorBase base = tensor._base
    if base is None:
        tensor.edge = edge
    else:
        base.edge = write_to_base(base, tensor, edge)


# ---- one operation ----------------------------------------------------------------------------------------------------

cdef inline TensorBase new_tensor(object data):
    cdef TensorBase out = <TensorBase> (<object> (<PyTypeObject *> _Tensor).tp_new(<type> _Tensor, <PyObject *> _NOTHING, NULL))
    if cnp.PyArray_CheckExact(data):
        out.array = data
    elif isinstance(data, _generic):
        out.array = array_from_scalar(data, NULL)
    else:
        out.array = np.asarray(data)
    return out


def record(data, backward, tuple inputs, saved):
    """The Tensor that holds an operation's result, with a node on the tape if one of its inputs wants a gradient.

    Args:
        data: the result; the scalar that a full reduction gives becomes a 0-d array.
        backward: the operation's backward function (see `odyssey.tensor.tape`).
        inputs: `.node` of each input, in the order in which `backward` returns gradients.
        saved: what `backward` needs to know; it finds this in `node.saved`.
    """
    cdef TensorBase out = new_tensor(data)
    for edge in inputs:
        if edge is not None:
            if grad_enabled():
                out.edge = Node(backward, inputs, saved)
            return out
    return out


def record_view(data, backward, tuple inputs, saved, x):
    """`record` for an operation whose result may be a view of x: writing to one of the two then tells the other."""
    cdef TensorBase out = record(data, backward, inputs, saved)
    cdef TensorBase of
    if isinstance(x, TensorBase):
        of = <TensorBase> x
        if of._base is not None:
            of = of._base
        # Outside the tape nothing is followed, and no history kept for it.
        if shares(out.array, of.array) and (of.edge is None or out.edge is not None):
            out._base = of
            out.seen = of.edge
    return out


cdef inline bint shares(object view, object array):
    """Whether view is one of array, as far as their owners tell: no search."""
    cdef PyObject *a = cnp.PyArray_BASE(<ndarray> view)
    cdef PyObject *b
    if a == NULL:
        return False
    if a == <PyObject *> array:
        return True
    b = cnp.PyArray_BASE(<ndarray> array)
    return a == b


def from_edge(data, edge):
    """A Tensor over an array with an edge of one's own: how a backward function speaks of what its forward saved."""
    cdef TensorBase out = new_tensor(data)
    out.edge = edge
    return out


def operand(value):
    """An argument's array (or number) and its edge on the tape. A number takes the other operand's dtype."""
    if isinstance(value, TensorBase):
        return (<TensorBase> value).array, edge_of(<TensorBase> value)
    if isinstance(value, _generic):  # float64 among them, which is also a float
        return value.item(), None
    if isinstance(value, int) or isinstance(value, float):
        return value, None
    return np.asarray(value), None


def plain_index(index):
    """An index with the arrays of its Tensors in their place."""
    if isinstance(index, TensorBase):
        return (<TensorBase> index).array
    if isinstance(index, tuple):
        for part in <tuple> index:
            if isinstance(part, TensorBase):
                return tuple([(<TensorBase> one).array if isinstance(one, TensorBase) else one for one in <tuple> index])
    return index


def kept_for(edge, value):
    """What to save of an operand that is needed for the gradient of `edge` alone: itself, or only its shape."""
    return shape_of(value) if edge is None else value


cpdef shape_of(value):
    """The shape of an array, or of what was kept of one, and of a number ()."""
    if cnp.PyArray_CheckExact(value):
        return shape_tuple(<ndarray> value)
    if type(value) is tuple:
        return value
    return value.shape if isinstance(value, ndarray) else ()


cdef inline tuple shape_tuple(ndarray x):
    return cnp.PyArray_IntTupleFromIntp(PyArray_NDIM(x), PyArray_DIMS(x))


# ---- the walk ---------------------------------------------------------------------------------------------------------

cdef int push(list pending, Node node) except -1:
    """Among the pending nodes by number, the highest last."""
    cdef Py_ssize_t low = 0, high = len(pending), middle
    while low < high:
        middle = (low + high) // 2
        if (<Node> pending[middle]).number < node.number:
            low = middle + 1
        else:
            high = middle
    if low == len(pending):
        pending.append(node)
    else:
        pending.insert(low, node)
    return 0


def used_before():
    """The error for a node whose tape was freed."""
    return RuntimeError(
        "backward: expected a tape that has not been used, found one that an earlier backward() has freed; run the "
        "forward pass again, add the losses and call backward() once, or keep the tape with "
        "backward(retain_graph=True) the first time"
    )


def run_backward(root, grad, bint retain_graph=False):
    """Carry `grad`, the gradient with respect to `root`'s output, back to every leaf.

    The tape is freed on the way, unless it is to be retained.
    """
    cdef Node node, above
    cdef list pending
    cdef tuple gradients, inputs
    cdef object backward, incoming, outgoing, edge
    cdef PyObject *base
    cdef Py_ssize_t i
    cdef bint fresh
    if isinstance(root, Leaf):
        (<Leaf> root).receive(grad, False)
        return
    node = root
    node.grad = grad
    node.owned = False
    pending = [node]
    try:
        while pending:
            node = pending.pop()
            backward = node.backward
            incoming = node.grad
            node.grad = None
            if backward is None:
                raise used_before()
            if node.number < _last_write:
                _check_saved(node)
            gradients = tuple(backward(incoming, node))
            inputs = node.inputs
            if len(gradients) != len(inputs):
                raise ValueError(f"{backward.__name__}: expected {len(inputs)} gradients, found {len(gradients)}")
            for i in range(len(inputs)):
                edge = inputs[i]
                outgoing = gradients[i]
                if edge is None or outgoing is None:
                    continue
                if not cnp.PyArray_CheckExact(outgoing):
                    outgoing = np.asarray(outgoing)  # NumPy gives a scalar where an array has no axes left
                base = cnp.PyArray_BASE(<ndarray> outgoing)
                fresh = outgoing is not incoming and (base == NULL or type(<object> base) is Block)
                if type(edge) is Node:
                    above = <Node> edge
                    if above.grad is None:
                        push(pending, above)
                    above.receive(outgoing, fresh)
                else:
                    (<Leaf?> edge).receive(outgoing, fresh)
            if not retain_graph:
                node.backward = node.saved = None
                node.inputs = _NOTHING
    finally:
        for node in pending:  # only after an error: leave no half-summed gradient for a later backward()
            node.grad = None
