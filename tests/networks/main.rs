//! Networks: who reaches whom, who is called what, what stays when knarrd is killed. Each test has a host of its own: network
//! namespaces for it and for a neighbour, in which knarrd runs. So nothing of the machine's own network is touched.
#![forbid(unsafe_code)]

mod attacks;
mod bad_input;
mod bed;
mod docker;
mod names;
mod ports;
mod reach;
mod restore;
mod verbs;
