//! Compiles `knarr/v1/*.proto` in pure Rust (no protoc) when the `grpc` feature is on.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=knarr");
    #[cfg(feature = "grpc")]
    compile()?;
    Ok(())
}

#[cfg(feature = "grpc")]
fn compile() -> Result<(), Box<dyn std::error::Error>> {
    use protox::prost::Message;

    const SERVICES: [&str; 8] = [
        "knarr/v1/builds.proto",
        "knarr/v1/containers.proto",
        "knarr/v1/events.proto",
        "knarr/v1/images.proto",
        "knarr/v1/networks.proto",
        "knarr/v1/snapshots.proto",
        "knarr/v1/system.proto",
        "knarr/v1/volumes.proto",
    ];
    let descriptors = protox::compile(SERVICES, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // Kept whole, comments and all, for the reflection service.
    std::fs::write(out.join("knarr.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().build_client(true).build_server(true).compile_fds(descriptors)?;
    Ok(())
}
