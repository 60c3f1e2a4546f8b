"""An int8 file and the float file that it was made from, layer by layer."""
