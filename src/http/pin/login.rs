//! `POST /auth/login`: one door at which two kinds of clients knock (seeds 001 and 003). The keys
//! of the body decide.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi, Union,
    payload::Json,
    registry::{MetaRequest, Registry},
    types::{Example, Type},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    DIALECT, Tag,
    ask::{ACCESS, REFRESH, whole_seconds},
    error::PinError,
    shapes::{Permission, User, permissions},
};
use crate::{
    domain::{
        Core,
        caller::Origin,
        carriers::Carrier,
        error::{Error, Why},
        secret::Secret,
        sessions::Carried,
        sign_in::{Proof, SignIn, SignedIn},
        tokens::Issued,
    },
    http::{
        lenient::{json_only, json_request},
        visitor::Visitor,
    },
};

const EMAIL_DIALECT: &str = "signup";
const BY_GOOGLE: &str = "This account uses Google sign-in. Please login with Google.";

/// The shared sign-in; each of the two shapes only while its dialect is on.
pub struct LoginApi {
    pub core: Core,
    pub pin: bool,
    pub email: bool,
}

/// A name and its PIN.
#[derive(Object)]
#[oai(example)]
struct PinLogin {
    name: String,
    /// Four to twelve digits.
    pin: String,
}

impl Example for PinLogin {
    fn example() -> Self {
        Self { name: "cooluser1".to_owned(), pin: "0000".to_owned() }
    }
}

/// An address and its password.
#[derive(Object)]
#[oai(example)]
struct EmailLogin {
    email: String,
    password: String,
}

impl Example for EmailLogin {
    fn example() -> Self {
        Self { email: "john@example.org".to_owned(), password: "securepass123".to_owned() }
    }
}

/// A name with its PIN, or an address with its password.
#[derive(Union)]
enum Login {
    Pin(PinLogin),
    Email(EmailLogin),
}

/// What was sent, before it is known which of the two it is.
#[derive(Deserialize)]
struct Sent {
    name: Option<String>,
    pin: Option<String>,
    email: Option<String>,
    password: Option<String>,
}

/// Documented as the union; told apart by its keys.
struct LoginBody(Login);

impl<'a> ApiExtractor<'a> for LoginBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Login as Type>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(json_request::<Login>())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let sent: Sent = json_only(request, body).await?;
        match (sent.name.zip(sent.pin), sent.email.zip(sent.password)) {
            (Some((name, pin)), None) => Ok(Self(Login::Pin(PinLogin { name, pin }))),
            (None, Some((email, password))) => {
                Ok(Self(Login::Email(EmailLogin { email, password })))
            }
            (Some(_), Some(_)) | (None, None) => {
                Err(PinError::bad("Send either name and pin, or email and password").into())
            }
        }
    }
}

/// Signed in by PIN.
#[derive(Object)]
struct PinAnswer {
    message: String,
    user: User,
    perms: Vec<Permission>,
}

/// Signed in by address.
#[derive(Object)]
#[oai(rename_all = "camelCase")]
struct EmailAnswer {
    message: String,
    token: String,
    user_id: Uuid,
    /// In capitals.
    role: String,
}

/// Whichever of the two knocked.
#[derive(Union)]
enum Answer {
    Pin(PinAnswer),
    Email(EmailAnswer),
}

fn broken() -> PinError {
    Error::Internal("a sign-in without its tokens".into()).into()
}

/// Both cookies of a PIN sign-in.
fn put_cookies(visitor: &Visitor, carried: Carried) -> Result<(), PinError> {
    let (Some(access), Some(refresh)) = (carried.access, carried.refresh) else {
        return Err(broken());
    };
    let lives = &visitor.0.core.settings().lives;
    let put = |name, issued: Issued, life| {
        visitor.0.put_cookie(name, issued.text.reveal(), whole_seconds(life));
    };
    put(ACCESS, access, lives.pin_access);
    put(REFRESH, refresh, lives.pin_refresh);
    Ok(())
}

impl LoginApi {
    /// Seed 001: 200 with both cookies; 401 `Invalid credentials` for whatever is not right.
    async fn by_pin(&self, login: PinLogin, visitor: &Visitor) -> Result<PinAnswer, PinError> {
        let proof = Proof::Pin(Secret::new(login.pin));
        let origin = visitor.origin(DIALECT);
        let signed = self.knock(login.name, proof, Carrier::PinCookies, origin).await;
        let SignedIn { account, carried } =
            signed.map_err(|error| PinError::in_words(error, "Invalid credentials"))?;
        put_cookies(visitor, carried)?;
        Ok(PinAnswer {
            message: "Login successful".to_owned(),
            user: (&*account).into(),
            perms: permissions(&account),
        })
    }

    /// Seed 003: 200 with the token; 400 `Invalid credentials` for whatever is not right.
    async fn by_email(
        &self,
        login: EmailLogin,
        visitor: &Visitor,
    ) -> Result<EmailAnswer, PinError> {
        let proof = Proof::Password(Secret::new(login.password));
        let origin = visitor.origin(EMAIL_DIALECT);
        // A user name is no address, and this dialect knows people by address only.
        let who = if login.email.contains('@') { login.email.clone() } else { String::new() };
        let signed = self.knock(who, proof, Carrier::SignupToken, origin).await;
        let SignedIn { account, carried } = match signed {
            Ok(signed) => signed,
            Err(Error::Unauthenticated(Why::WrongCredentials)) => {
                let by_google = self.core.signs_in_by_google(&login.email).await?;
                let words = if by_google { BY_GOOGLE } else { "Invalid credentials" };
                return Err(PinError::bad(words));
            }
            Err(other) => return Err(other.into()),
        };
        let token = carried.access.ok_or_else(broken)?;
        Ok(EmailAnswer {
            message: "Login successful".to_owned(),
            token: token.text.reveal().to_owned(),
            user_id: account.id.uuid(),
            role: account.role.to_uppercase(),
        })
    }

    async fn knock(
        &self,
        who: String,
        proof: Proof,
        carrier: Carrier,
        origin: Origin,
    ) -> Result<SignedIn, Error> {
        self.core.sign_in(SignIn { who, proof, carrier, origin }).await
    }
}

#[OpenApi(tag = "Tag::Auth")]
impl LoginApi {
    /// Sign in by PIN or by e-mail
    ///
    /// A name and its PIN give two cookies, `accessToken` and `refreshToken`; an address and its
    /// password give a token in the answer. Wrong ones are 401 for the PIN and 400 for the
    /// password, as the clients of each expect.
    #[oai(path = "/auth/login", method = "post", operation_id = "login")]
    async fn login(&self, visitor: Visitor, body: LoginBody) -> Result<Json<Answer>, PinError> {
        match body.0 {
            Login::Pin(login) if self.pin => {
                Ok(Json(Answer::Pin(self.by_pin(login, &visitor).await?)))
            }
            Login::Email(login) if self.email => {
                Ok(Json(Answer::Email(self.by_email(login, &visitor).await?)))
            }
            Login::Pin(_) | Login::Email(_) => Err(PinError::bad("Send the other kind of login")),
        }
    }
}
