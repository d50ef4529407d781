"""The appliances: what handlers may ask of them, and the two vendors' products behind it.

- `ports`: what can be asked, by capability, in the caller's language.
- `http`: one appliance's connections; the one place where HTTP failures become our errors.
- `session`: one login for all who wait, renewed once; refused credentials are not tried again.
- `fortiauthenticator`, `fortivoice`: the ports over the vendors' REST APIs.
- `inventory`: `appliances.toml` → the appliances by name.
"""
