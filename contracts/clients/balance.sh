#!/bin/sh
# Read the SMS balance of a FortiAuthenticator through Appliance Courier, over plain HTTP.
#
# Needs curl, and RabbitMQ's management plugin:
#
#     export RABBITMQ_API=http://user:password@broker.example.net:15672/api
#     sh balance.sh fac-ottawa
#
# For hands and scripts, not for load: the management API takes and gives one message per request and
# cannot wait for one. Programs with work to do speak AMQP, as the other examples do.
#
# Prints the event that ends the query. Exit code 0: done. 1: failed, refused or rejected. 3: no
# answer; a query is never "unknown".
set -eu

appliance=${1:?usage: sh balance.sh APPLIANCE}
vhost=${RABBITMQ_VHOST:-%2F} # percent-encoded; "/" unless told otherwise
patience=60                  # seconds

command=courier.query-sms-balance.v1
finished=courier.query-sms-balance.finished.v1
rejected=courier.command.rejected.v1
id="balance-$(date -u +%Y%m%dT%H%M%SZ)-$$"
queue="portal-$id"

# The address goes in by standard input: it holds the password, and arguments are there for all to see.
api() { # method, path, body
  printf 'url = "%s/%s"\n' "$RABBITMQ_API" "$2" |
    curl --config - --fail --silent --show-error --max-time 10 \
      --request "$1" --header 'Content-Type: application/json' --data "$3"
}

no_answer() {
  echo "no answer: $1" >&2
  exit 3
}

# The queue comes first: what is told before it is bound passes it by. It has no limit, so it never
# rejects; and should this script be killed, the broker deletes it after ten idle minutes.
api PUT "queues/$vhost/$queue" '{"durable": true, "arguments": {"x-expires": 600000}}' ||
  no_answer 'the queue cannot be declared'
trap 'api DELETE "queues/$vhost/$queue" "" || true' EXIT
trap 'exit 3' HUP INT TERM
for key in "$finished.*.$appliance" "$rejected.#"; do
  api POST "bindings/$vhost/e/courier.events/q/$queue" "{\"routing_key\": \"$key\"}" >/dev/null ||
    no_answer 'the queue cannot be bound; has a courier ever run here?'
done

# As base64, so that no quotation mark of the message needs another one before it.
message=$(printf '{"specversion": "1.0", "id": "%s", "source": "/portal/by-hand", "type": "%s",
  "time": "%s", "data": {"appliance": "%s"}}' \
  "$id" "$command" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$appliance" | base64 | tr -d '\n')
sent=$(api POST "exchanges/$vhost/courier.commands/publish" "{\"routing_key\": \"$command\",
  \"properties\": {\"delivery_mode\": 2, \"content_type\": \"application/cloudevents+json\"},
  \"payload\": \"$message\", \"payload_encoding\": \"base64\"}") || no_answer 'it was not sent'
case $sent in
*true*) ;;
*) no_answer 'no queue takes the command' ;;
esac

until [ "$patience" -le 0 ]; do
  # One at a time, and gone when it was given: nobody else reads this queue.
  got=$(api POST "queues/$vhost/$queue/get" \
    '{"count": 1, "ackmode": "ack_requeue_false", "encoding": "base64"}') ||
    no_answer 'the queue cannot be read'
  if [ "$got" = '[]' ]; then
    patience=$((patience - 1))
    sleep 1
    continue
  fi
  event=$(printf '%s' "$got" | sed 's/.*"payload":"\([^"]*\)".*/\1/' | base64 -d)
  # Results of others come by here as well. Which command it answers stands in the event.
  case $event in
  *"\"causationid\":\"$id\""*) ;;
  *) continue ;;
  esac
  printf '%s\n' "$event"
  # How it ended is the fifth word of the routing key, so no JSON need be taken apart for it.
  case $got in
  *"\"routing_key\":\"$finished.succeeded."*) exit 0 ;;
  *) exit 1 ;;
  esac
done
no_answer "none in time"
