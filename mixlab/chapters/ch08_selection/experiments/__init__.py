"""The experiments of the chapter, one file each."""
