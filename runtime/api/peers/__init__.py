"""Links between the nodes of a cluster: one WebSocket for each pair, authenticated by a secret.

`links.PeerLinks` implements `placement.ports.Peers`; `listener` takes the links that others dial.
"""
