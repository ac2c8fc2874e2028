"""Program files and machine code: symbols, which module an address belongs to, disassembly."""
