/** Defaults that the daemon and its clients share. */

export const DEFAULT_SOCKET = '/run/overlayd/overlayd.sock';
