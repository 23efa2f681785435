"""The part of CloudWatch Logs that moto does not have: saved queries."""

import json
import uuid

saved = {}


def put_query_definition(self):
    definition = json.loads(self.body)
    identifier = definition.setdefault("queryDefinitionId", str(uuid.uuid4()))
    saved[identifier] = definition
    return json.dumps({"queryDefinitionId": identifier})


def describe_query_definitions(self):
    prefix = json.loads(self.body).get("queryDefinitionNamePrefix", "")
    found = [definition for definition in saved.values() if definition["name"].startswith(prefix)]
    return json.dumps({"queryDefinitions": found})


def delete_query_definition(self):
    del saved[json.loads(self.body)["queryDefinitionId"]]
    return json.dumps({"success": True})
