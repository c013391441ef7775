"""What each operation of the port means, written once for every store: rules decide, `Tables` keeps."""
