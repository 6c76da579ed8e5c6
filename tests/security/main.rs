//! Attacks, run for real by code inside containers and images; each must fail.
#![forbid(unsafe_code)]

mod api_clients;
mod api_socket;
mod attacker;
mod canary;
mod hostile_archives;
mod hostile_layers;
mod hostile_manifests;
mod hostile_registry;
mod manager_files;
mod manager_images;
mod registry_attacks;
mod runtime_benign;
mod runtime_binary;
mod runtime_config;
mod runtime_descriptors;
mod runtime_identity;
mod runtime_kernel;
mod runtime_leaks;
mod runtime_lifecycle;
mod runtime_mounts;
mod runtime_null;
mod runtime_own_namespaces;
mod runtime_races;
mod runtime_rootfs;
mod runtime_seccomp;
mod terminal_text;
