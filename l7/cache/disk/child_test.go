package disk

// childEnv names the directory that a child process of the tests works in.
const childEnv = "WEIR_DISK_CHILD"

func child(string) {}
