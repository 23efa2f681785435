"""A moto server on a free loopback port, whose URL is printed; it ends with its standard input.

moto's CloudFormation leaves out a resource that it does not know, and reports success. Here, resources.py adds some, and an
unknown one is an error. Functions do not run in a container: the Invoke API at the URL in the first argument runs them.
"""

import json
import logging
import sys
import urllib.request

import saved_queries
from moto.awslambda.models import LambdaFunction
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.iam.access_control import PermissionResult
from moto.logs.responses import LogsResponse
from moto.s3.models import FakeBucket
from moto.server import ThreadedMotoServer
from resources import TAUGHT, Resource

[invoke_url] = sys.argv[1:]
known_to_moto = parsing.resource_class_from_type
updated_by_moto = CloudFormationBackend.update_stack


def resource_class_from_type(resource_type):
    known = TAUGHT.get(resource_type) or known_to_moto(resource_type)
    if known is None:
        raise ValidationError(message=f"moto would leave out {resource_type}: teach it in test/support/moto/resources.py")
    return known


def update_stack(self, *args, **kwargs):
    """moto drops the exports that an update adds, and then cannot delete the stack."""
    stack = updated_by_moto(self, *args, **kwargs)
    self.exports.update({export.name: export for export in stack.exports})
    return stack


def invoke(self, event=None):
    url = f"{invoke_url}/2015-03-31/functions/{self.function_name}/invocations"
    request = urllib.request.Request(url, json.dumps(event).encode(), method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return response.read().decode(), "x-amz-function-error" in response.headers, ""


# Logs errors, but not every request.
logging.getLogger("werkzeug").setLevel(logging.ERROR)

parsing.resource_class_from_type = resource_class_from_type
CloudFormationBackend.update_stack = update_stack
LambdaFunction._invoke_lambda = invoke
for action in ["put_query_definition", "describe_query_definitions", "delete_query_definition"]:
    setattr(LogsResponse, action, getattr(saved_queries, action))
# The policy of the deployment's bucket forbids plain HTTP, which is all that this server has.
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
Resource.endpoint_url = f"http://{host}:{port}"
print(Resource.endpoint_url, flush=True)
sys.stdin.read()
