"""Resources that moto's CloudFormation silently leaves out, as a whole or in part.

They are created through the server's own API, as CloudFormation does, which refuses properties that it does not know.
"""

import json

import boto3
from botocore.exceptions import ClientError


class Resource:
    """The interface of a resource in moto's CloudFormation. Subclasses create and delete one kind."""

    endpoint_url = ""

    def __init__(self, name, properties, region):
        # A generated name, for resources without one.
        self.name = name
        self.properties = properties
        self.region = region
        self.physical_resource_id = ""
        self.attributes = {}

    def client(self, service):
        return boto3.client(service, region_name=self.region, endpoint_url=self.endpoint_url)

    def update(self, before):
        before.remove()
        self.create()

    @classmethod
    def create_from_cloudformation_json(cls, name, json, _account, region, **_):
        resource = cls(name, json["Properties"], region)
        resource.create()
        return resource

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, cloudformation_json, region_name, **_):
        resource = cls(original_resource.name, cloudformation_json["Properties"], region_name)
        resource.physical_resource_id = original_resource.physical_resource_id
        resource.attributes = original_resource.attributes
        resource.update(original_resource)
        return resource

    def delete(self, _account, _region):
        try:
            self.remove()
        except ClientError as error:
            # moto deletes a stack in any order: this may be gone together with its owner.
            if error.response["Error"]["Code"] not in ["ResourceNotFoundException", "NoSuchBucket"]:
                raise

    @classmethod
    def has_cfn_attr(cls, _attribute):
        return True

    def get_cfn_attribute(self, attribute):
        return self.attributes[attribute]

    def is_created(self):
        return True


class Schedule(Resource):
    def create(self):
        self.physical_resource_id = self.properties["Name"]
        self.attributes["Arn"] = self.client("scheduler").create_schedule(**self.properties)["ScheduleArn"]

    def remove(self):
        self.client("scheduler").delete_schedule(Name=self.physical_resource_id)


class Alarm(Resource):
    def create(self):
        name = self.physical_resource_id = self.properties["AlarmName"]
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(**self.properties)
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        self.attributes["Arn"] = alarm["AlarmArn"]

    def remove(self):
        self.client("cloudwatch").delete_alarms(AlarmNames=[self.physical_resource_id])


class Function(Resource):
    """moto's own drops architecture and tracing. moto has no API for RecursiveLoop: tests read it in the template."""

    def create(self):
        self.physical_resource_id = self.properties["FunctionName"]
        self.attributes["Arn"] = self.client("lambda").create_function(**self.without("RecursiveLoop"))["FunctionArn"]

    def update(self, before):
        configuration = self.without("RecursiveLoop", "Code", "Architectures")
        code = {**self.properties["Code"], "Architectures": self.properties["Architectures"]}
        self.client("lambda").update_function_configuration(**configuration)
        self.client("lambda").update_function_code(FunctionName=self.physical_resource_id, **code)

    def without(self, *names):
        return {name: value for name, value in self.properties.items() if name not in names}

    def remove(self):
        self.client("lambda").delete_function(FunctionName=self.physical_resource_id)


class EventInvokeConfig(Resource):
    def create(self):
        self.physical_resource_id = self.properties["FunctionName"] + "|" + self.properties["Qualifier"]
        self.client("lambda").put_function_event_invoke_config(**self.properties)

    def remove(self):
        self.client("lambda").delete_function_event_invoke_config(FunctionName=self.properties["FunctionName"])


class BucketPolicy(Resource):
    def create(self):
        bucket = self.physical_resource_id = self.properties["Bucket"]
        self.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(self.properties["PolicyDocument"]))

    def remove(self):
        self.client("s3").delete_bucket_policy(Bucket=self.physical_resource_id)


class Queue(Resource):
    """The URL of moto's own differs from that of its API."""

    def create(self):
        attributes = {name: json.dumps(value) for name, value in self.properties.items() if name != "QueueName"}
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=self.properties["QueueName"], Attributes=attributes)["QueueUrl"]
        self.physical_resource_id = url
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        self.attributes["Arn"] = answer["Attributes"]["QueueArn"]

    def remove(self):
        self.client("sqs").delete_queue(QueueUrl=self.physical_resource_id)


class Role(Resource):
    """The policies of moto's own are not JSON when they are read back."""

    def create(self):
        name = self.physical_resource_id = self.name
        of_role = {name: value for name, value in self.properties.items() if name != "Policies"}
        of_role["AssumeRolePolicyDocument"] = json.dumps(of_role["AssumeRolePolicyDocument"])
        iam = self.client("iam")
        self.attributes["Arn"] = iam.create_role(RoleName=name, **of_role)["Role"]["Arn"]
        for policy in self.properties["Policies"]:
            document = json.dumps(policy["PolicyDocument"])
            iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)

    def remove(self):
        iam = self.client("iam")
        for policy in self.properties["Policies"]:
            iam.delete_role_policy(RoleName=self.physical_resource_id, PolicyName=policy["PolicyName"])
        iam.delete_role(RoleName=self.physical_resource_id)


class TopicPolicy(Resource):
    def create(self):
        policy = json.dumps(self.properties["PolicyDocument"])
        self.physical_resource_id = self.properties["Topics"][0]
        for topic in self.properties["Topics"]:
            self.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)

    def remove(self):
        # Deleted with its topic.
        pass


class Subscription(Resource):
    def create(self):
        self.physical_resource_id = self.client("sns").subscribe(**self.properties)["SubscriptionArn"]

    def remove(self):
        self.client("sns").unsubscribe(SubscriptionArn=self.physical_resource_id)


class QueryDefinition(Resource):
    def create(self):
        properties = {name[0].lower() + name[1:]: value for name, value in self.properties.items()}
        answer = self.client("logs").put_query_definition(**properties)
        self.physical_resource_id = answer["queryDefinitionId"]

    def remove(self):
        self.client("logs").delete_query_definition(queryDefinitionId=self.physical_resource_id)


class Secret(Resource):
    def create(self):
        self.physical_resource_id = self.client("secretsmanager").create_secret(**self.properties)["ARN"]

    def remove(self):
        self.client("secretsmanager").delete_secret(SecretId=self.physical_resource_id)


TAUGHT = {
    "AWS::CloudWatch::Alarm": Alarm,
    "AWS::IAM::Role": Role,
    "AWS::Lambda::EventInvokeConfig": EventInvokeConfig,
    "AWS::Lambda::Function": Function,
    "AWS::Logs::QueryDefinition": QueryDefinition,
    "AWS::S3::BucketPolicy": BucketPolicy,
    "AWS::Scheduler::Schedule": Schedule,
    "AWS::SQS::Queue": Queue,
    "AWS::SecretsManager::Secret": Secret,
    "AWS::SNS::Subscription": Subscription,
    "AWS::SNS::TopicPolicy": TopicPolicy,
}
