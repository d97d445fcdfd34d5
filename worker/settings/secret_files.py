"""A folder of secret files, one setting in each, as Docker and Kubernetes mount them."""

from collections.abc import Mapping

from pydantic_settings import BaseSettings, NestedSecretsSettingsSource, SecretsSettingsSource, SettingsError

from worker.settings.catalogue import SECRETS_DIR


def read_secret_files(folder: str, problems: list[str]) -> Mapping[str, str]:
    """The text of every file in the folder by its name; what is wrong with the folder is added to `problems`."""
    # The library's walk neither follows links out of the folder nor trips over Kubernetes' `..data`.
    try:
        source = NestedSecretsSettingsSource(
            SecretsSettingsSource(BaseSettings), secrets_dir=folder, secrets_dir_missing="error"
        )
    except SettingsError:
        problems.append(f"{SECRETS_DIR} must name a folder of moderate size; {folder} is none")
        return {}
    except OSError as error:
        problems.append(f"{SECRETS_DIR}: a file in {folder} cannot be read: {error.strerror}")
        return {}
    except UnicodeDecodeError:
        problems.append(f"{SECRETS_DIR}: a file in {folder} is not text")
        return {}
    return {name: text for name, text in source.env_vars.items() if text is not None}
