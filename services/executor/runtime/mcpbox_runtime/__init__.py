"""What runs around a tool inside its call process.

Nothing here is a boundary: the kernel is.  A tool may read and change all of this; it spoils its own answer
at most.  What this package gives is convenience, good errors and the shape of results.
"""
