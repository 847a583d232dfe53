"""IDX files, the format of MNIST; see `instanceid_utils.mnist.idx`."""

from instanceid_utils.mnist.idx import IdxReader, IdxWriter, read_idx, write_idx

__all__ = ["IdxReader", "IdxWriter", "read_idx", "write_idx"]
