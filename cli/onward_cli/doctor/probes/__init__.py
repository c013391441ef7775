"""Look, and bring home evidence. They open sockets, and judge nothing."""
