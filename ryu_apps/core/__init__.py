"""What decides: events in, effects out; no sockets, no clock, no logging, no Ryu."""
