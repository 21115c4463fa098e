"""The gRPC side, as Dapr's SDKs and workers speak it. An edge package; needs `perdure[grpc]`."""
