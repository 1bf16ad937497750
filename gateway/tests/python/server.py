"""A gRPC service as somebody would write it with grpcio: generated code, reflection, rich errors.

Takes the port as its argument (0 for a free one), prints the port when it serves, and serves until it
is killed. The code is generated into a temporary folder at the start.
"""

import importlib
import pathlib
import sys
import tempfile
from concurrent import futures

import grpc
import grpc_tools
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from grpc_tools import protoc

HERE = pathlib.Path(__file__).parent


def generated():
    """Generates and imports the messages and the servicer."""
    folder = tempfile.mkdtemp()
    common = next(path for path in sys.path if (pathlib.Path(path) / "google/api/http.proto").exists())
    built_in = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{HERE}", f"-I{common}", f"-I{built_in}"]
    arguments += [f"--python_out={folder}", f"--grpc_python_out={folder}", "orchard.proto"]
    if protoc.main(["protoc", *arguments]) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, folder)
    return importlib.import_module("orchard_pb2"), importlib.import_module("orchard_pb2_grpc")


pb, pb_grpc = generated()


class Trees(pb_grpc.TreesServicer):
    """Answers from nothing but the request."""

    def GetTree(self, request, context):
        """Gets a tree; `missing` is not there, `headers` shows who called and with what."""
        if request.id == "missing":
            info = error_details_pb2.ErrorInfo(reason="TREE_MISSING", domain="orchard")
            detail = any_pb2.Any()
            detail.Pack(info)
            status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="no such tree", details=[detail])
            context.abort_with_status(rpc_status.to_status(status))
        if request.id == "headers":
            metadata = dict(context.invocation_metadata())
            credentials = metadata.get("authorization", "no credential")
            return pb.Tree(id=f"{metadata.get('x-lightning-caller')}: {credentials}")
        return pb.Tree(id=request.id, kind=pb.Tree.KIND_PEAR, harvest={"2025": 120})

    def PlantTree(self, request, context):
        """Gives the tree back."""
        return request.tree

    def ListTrees(self, request, context):
        """Lists as many as were asked for."""
        for number in range(request.count):
            yield pb.Tree(id=str(number), kind=pb.Tree.KIND_APPLE)


def main():
    """Serves until it is killed."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    pb_grpc.add_TreesServicer_to_server(Trees(), server)
    names = (pb.DESCRIPTOR.services_by_name["Trees"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


main()
