"""The host's side of the runtime: finds it or starts it, hands it jobs and frames, hears how they go."""

from kairos_nodes.client.buffers import FrameBuffer
from kairos_nodes.client.client import Client
from kairos_nodes.client.link import stop_runtime
from kairos_nodes.client.remote import RemoteJob
from kairos_nodes.client.rendezvous import log_file, service_folder

__all__ = ["Client", "FrameBuffer", "RemoteJob", "log_file", "service_folder", "stop_runtime"]
