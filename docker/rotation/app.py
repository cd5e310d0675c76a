"""An application that goes on while the password of its database changes: once a second it asks the database who it
is, and prints that.

python3 app.py mysql|postgres|redis, with the emulator's address in SSMLOCAL_URL and the database's host in DATABASE."""

import json
import logging
import os
import signal
import sys
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.ssm.v20190923 import models
from tencentcloud.ssm.v20190923.ssm_client import SsmClient

URL = os.environ.get("SSMLOCAL_URL", "http://ssmlocal:9023")
HOST = os.environ["DATABASE"]
KEYS = ("AKIDssmlocal", "ssmlocal")
REGION = "ap-guangzhou"

# What each kind of database takes for CreateProductSecret.
PRODUCTS = {
    "mysql": ("Mysql", "cdb-demo", [{"PrivilegeName": "DatabasePrivileges", "Database": "shop", "Privileges": ["SELECT"]}]),
    "postgres": (
        "PostgreSQL", "pg-demo", [{"PrivilegeName": "DatabasePrivileges", "Database": "shop", "Privileges": ["CONNECT"]}]),
    "redis": ("Redis", "crs-demo", [{"PrivilegeName": "GlobalPrivileges", "Privileges": ["rw"]}]),
}

client = SsmClient(
    credential.Credential(*KEYS), REGION,
    ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=urlsplit(URL).netloc)))


def call(action, **params):
    request = getattr(models, action + "Request")()
    request.from_json_string(json.dumps(params))
    return getattr(client, action)(request)


def create(secret, kind):
    """Makes the secret, and with it the accounts in the database, unless it is there. It rotates every 30 days."""
    product, instance, privileges = PRODUCTS[kind]
    begin = datetime.now(timezone(timedelta(hours=8))) + timedelta(minutes=5)  # the API's times are UTC+8
    try:
        task = call(
            "CreateProductSecret", SecretName=secret, UserNamePrefix="app", ProductName=product, InstanceID=instance,
            Domains=["%"], PrivilegesList=privileges, EnableRotation=True, RotationFrequency=30,
            RotationBeginTime=begin.strftime("%Y-%m-%d %H:%M:%S")).FlowID
    except TencentCloudSDKException as error:
        if error.get_code() != "ResourceInUse.SecretExists":
            raise
        return
    while (status := call("DescribeAsyncRequestInfo", FlowID=task).TaskStatus) == 0:
        time.sleep(0.2)
    if status == 2:
        sys.exit("the accounts could not be made: the emulator's log has the reason")


def login(secret):
    value = json.loads(call("GetSecretValue", SecretName=secret, VersionId="SSM_Current").SecretString)
    return value["UserName"], value["Password"]


def mysql(secret):
    """MySQL has the official rotation SDK, which follows the secret by itself."""
    from ssm_rotation_sdk import Config, DbConfig, DynamicSecretRotationDb, SsmAccount

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    database = DynamicSecretRotationDb()
    config = Config({
        "ssm_service_config": SsmAccount.with_permanent_credential(*KEYS, REGION).with_endpoint(URL), "WATCH_FREQ": 1,
        "db_config": DbConfig({"secret_name": secret, "ip_address": HOST, "port": 3306, "db_name": "shop"}),
    })
    while error := database.init(config):
        print(f"FAILED: {error.message}")
        time.sleep(1)

    def ask():
        connection = database.get_conn()
        if connection is None:
            raise RuntimeError("the SDK has no connection, for the reason above")
        with connection, connection.cursor() as cursor:
            cursor.execute("select substring_index(current_user(), '@', 1)")
            return cursor.fetchone()[0]

    return ask


def postgres(secret):
    import psycopg

    def ask():
        user, password = login(secret)
        with psycopg.connect(host=HOST, dbname="shop", user=user, password=password) as connection:
            return connection.execute("select current_user").fetchone()[0]

    return ask


def redis(secret):
    import redis

    def ask():
        user, password = login(secret)
        with redis.Redis(host=HOST, username=user, password=password) as connection:
            connection.set("asked", 1)
            return connection.acl_whoami()

    return ask


def main(kind):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no handler by itself
    secret = f"rotation-{kind}"
    create(secret, kind)
    ask = {"mysql": mysql, "postgres": postgres, "redis": redis}[kind](secret)
    asked = failed = 0
    while True:
        asked += 1
        try:
            outcome = ask()
        except Exception as error:  # whatever a driver raises
            failed += 1
            outcome = f"FAILED: {error}"
        print(f"{time.strftime('%H:%M:%S')} {kind} {outcome} ({asked} asked, {failed} failed)")
        time.sleep(1)


main(sys.argv[1])
