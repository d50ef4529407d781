"""The appliances: what handlers may ask of them, and the two vendors' products behind it.

- `ports`: what can be asked, by capability, in the caller's language.
- `answers`: what is asked, and what an answer means.
- `visit`: what one delivery of a command does on an appliance.
- `http`: one appliance's connections; the one place where HTTP failures become our errors.
- `session`: one login for all who wait, renewed once; refused credentials are not tried again.
- `phones`: FortiVoice's list of phones.
- `fortiauthenticator`, `fortivoice`: the ports over the vendors' REST APIs.
- `inventory`: `appliances.toml` → the appliances by name.
"""
