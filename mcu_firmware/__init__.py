"""C++17 sources of the engine, shipped as data; find them with `Path(mcu_firmware.__file__)`."""
