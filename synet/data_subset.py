"""Some classes of a data set as a data set of their own."""

from synet.data.subset import Count, Subset, data_subset

__all__ = ["Count", "Subset", "data_subset"]
