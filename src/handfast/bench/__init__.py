"""How fast a network runs on one core in the engines that can run it, beside what the core can do at best."""
