//! Images as rows of `images`.

use knarr_proto::docker::reference::familiar;
use knarr_proto::v1::ImageSummary;
use serde_json::json;

use super::Columns;
use super::container::{View, ago};
use super::reference::short_id;
use super::template::Subject;
use super::units::{decimal_size, go_time, timestamp};

/// The columns of `images`.
pub(crate) const COLUMNS: Columns = Columns {
    titles: &[
        ("Containers", "CONTAINERS"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Damage", "DAMAGE"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "VIRTUAL SIZE"),
    ],
    default: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
};

/// The default table with `--digests`.
pub(crate) const WITH_DIGESTS: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

const NONE: &str = "<none>";
/// When an image was created whose configuration cannot be read.
const DAMAGED: &str = "damaged";

/// One row for each reference; one for an image without any.
pub(crate) fn rows(image: &ImageSummary, view: &View) -> Vec<Subject> {
    let named: Vec<(&str, &str)> = image
        .references
        .iter()
        .map(|reference| {
            let parts = familiar(reference);
            (parts.repository, parts.tag.unwrap_or(NONE))
        })
        .collect();
    if !named.is_empty() {
        return named.into_iter().map(|(repository, tag)| row(image, view, repository, tag)).collect();
    }
    let repository = image.repo_digests.first().map_or(NONE, |digest| familiar(digest).repository);
    vec![row(image, view, repository, NONE)]
}

fn row(image: &ImageSummary, view: &View, repository: &str, tag: &str) -> Subject {
    let created = timestamp(image.created_at.as_ref());
    let unknown = if image.damage.is_empty() { "N/A" } else { DAMAGED };
    let digest = image
        .repo_digests
        .iter()
        .map(|digest| familiar(digest))
        .find(|parts| parts.repository == repository)
        .and_then(|parts| parts.digest)
        .unwrap_or(NONE);
    let size = decimal_size(image.size_bytes);
    let fields = json!({
        "Containers": "N/A",
        "CreatedAt": created.map_or_else(|| unknown.to_owned(), |time| go_time(time, &view.zone)),
        "Damage": image.damage,
        "CreatedSince": created.map_or_else(|| unknown.to_owned(), |time| ago(time, view.now)),
        "Digest": digest,
        "ID": if view.truncate { short_id(&image.id) } else { &image.id },
        "Repository": repository,
        "SharedSize": "N/A",
        "Size": size,
        "Tag": tag,
        "UniqueSize": "N/A",
        "VirtualSize": size,
    });
    Subject { fields, labels: image.labels.clone() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::super::Format;
    use super::super::units::to_proto;
    use super::*;

    fn render(format: &str, image: &ImageSummary) -> String {
        let now = Timestamp::from_second(1_795_478_346).expect("a time");
        let view = View { now, zone: TimeZone::UTC, truncate: true };
        let format = Format::parse(format, COLUMNS.default).expect("a template");
        format.render(COLUMNS, &rows(image, &view)).expect("a table")
    }

    #[test]
    fn an_image_has_a_line_for_each_of_its_names() {
        let created_at = Timestamp::from_second(1_795_478_346 - 21 * 86_400).ok().map(to_proto);
        let mut image = ImageSummary {
            id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            references: ["docker.io/library/alpine:latest", "localhost:5000/a/b:c"]
                .map(str::to_owned)
                .to_vec(),
            repo_digests: vec!["docker.io/library/alpine@sha256:ff".to_owned()],
            size_bytes: 7_834_000,
            created_at,
            ..ImageSummary::default()
        };
        assert_eq!(
            render("", &image),
            "REPOSITORY           TAG       IMAGE ID       CREATED       SIZE\n\
             alpine               latest    0123456789ab   3 weeks ago   7.83MB\n\
             localhost:5000/a/b   c         0123456789ab   3 weeks ago   7.83MB\n"
        );
        assert_eq!(render("{{.Digest}}", &image), "sha256:ff\n<none>\n");
        image.references.clear();
        assert_eq!(render("{{.Repository}}:{{.Tag}}", &image), "alpine:<none>\n");
    }

    #[test]
    fn a_damaged_image_is_shown_as_such() {
        let image = ImageSummary {
            id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            references: vec!["docker.io/library/alpine:latest".to_owned()],
            damage: "blob sha256:0123 is damaged on disk".to_owned(),
            ..ImageSummary::default()
        };
        assert_eq!(
            render("", &image),
            "REPOSITORY   TAG       IMAGE ID       CREATED   SIZE\n\
             alpine       latest    0123456789ab   damaged   0B\n"
        );
        assert_eq!(render("{{.Damage}}", &image), "blob sha256:0123 is damaged on disk\n");
    }
}
