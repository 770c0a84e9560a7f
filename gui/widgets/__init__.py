"""Small reusable views that know nothing of core's services."""
