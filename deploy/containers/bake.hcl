# What deploy/containers/build.sh has built, and how; it sets the variables.
variable "IMAGE_PREFIX" { default = "fleetlb" }
variable "VERSION" { default = "0" }
variable "REVISION" { default = "unknown" }
variable "CREATED" { default = "1970-01-01T00:00:00Z" }
variable "SOURCE_DATE_EPOCH" { default = "0" }
variable "BASE_IMAGE" { default = "python:3.11-slim-bookworm" }
variable "NFTABLES" { default = "" } # folder with nft and its libraries, in place of the one step that needs a network

target "common" {
  dockerfile = "deploy/Dockerfile"
  contexts = NFTABLES == "" ? {} : { nftables = NFTABLES }
  args = {
    BASE_IMAGE        = BASE_IMAGE
    VERSION           = VERSION
    REVISION          = REVISION
    CREATED           = CREATED
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
}

target "image" {
  name = image
  matrix = {
    image = [
      "tenant-watcher", "manager", "dataplane-programmer", "status", "cli",
      "bootstrap", "nats", "envoy", "control-plane",
    ]
  }
  inherits = ["common"]
  target   = image
  tags     = ["${IMAGE_PREFIX}/${image}:${VERSION}"]
  output   = ["type=docker"]
}

target "bills" {
  inherits = ["common"]
  target   = "bills"
  output   = ["type=local,dest=build/containers/bills"]
}
