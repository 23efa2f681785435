"""A moto server on a free loopback port, which is printed; it ends with its standard input.

moto leaves out a resource that its CloudFormation does not know, and says that all went well. Here it is taught some more
(resources.py), and what it still does not know is an error. The code of a function is not run in a container but by whoever
serves Lambda's Invoke API at the first argument.
"""

import json
import logging
import sys
import urllib.request

from moto.awslambda.models import LambdaFunction
from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.iam.access_control import PermissionResult
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
    """moto forgets the exports that an update brings, and cannot delete the stack then."""
    stack = updated_by_moto(self, *args, **kwargs)
    self.exports.update({export.name: export for export in stack.exports})
    return stack


def invoke(self, event=None):
    url = f"{invoke_url}/2015-03-31/functions/{self.function_name}/invocations"
    request = urllib.request.Request(url, json.dumps(event).encode(), method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return response.read().decode(), "x-amz-function-error" in response.headers, ""


# Not every request; errors stay.
logging.getLogger("werkzeug").setLevel(logging.ERROR)

parsing.resource_class_from_type = resource_class_from_type
CloudFormationBackend.update_stack = update_stack
LambdaFunction._invoke_lambda = invoke
# The policy of the deployment's bucket forbids plain HTTP, and here is nothing else.
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
Resource.endpoint_url = f"http://{host}:{port}"
print(Resource.endpoint_url, flush=True)
sys.stdin.read()
