"""The appliances: what handlers may ask of them, and the two vendors' products behind it.

- `ports`: what can be asked, by capability, in the caller's language.
- `answers`: what is asked, and what each answer means.
- `visit`: what one delivery of a command does on an appliance.
- `http`: one appliance's connections; the one place where HTTP failures become our errors.
- `transport`: one exchange below that, and what of it can have left.
- `breaker`: an appliance that cannot be reached is left alone, but for one look now and then.
- `session`: one login for all who wait, renewed once; `credentials`: when a login may be tried;
  `permissions`: what no login will help against.
- `phones`: FortiVoice's list of phones.
- `fortiauthenticator`, `fortivoice`: the ports over the vendors' REST APIs.
- `entries`: what stands in `appliances.toml`; `inventory`: the appliances by name, read from it and
  read again; `places`: how many commands may be at one of them.
"""
