namespace Microsoft.ML.Attention.Vision;

/// <summary>What is done to a prompt before it is split into tokens; published tokenizers of CLIP differ in it.</summary>
internal enum ClipTextCleaning
{
    /// <summary>
    /// Hugging Face's tokenizer without the package ftfy, which StoryDiffusion's requirements install: control characters go, ideographs
    /// stand alone, canonical composition, lower case.
    /// </summary>
    HuggingFace,

    /// <summary>Hugging Face's fast tokenizer: canonical composition, lower case.</summary>
    HuggingFaceFast,

    /// <summary>OpenAI's, without ftfy's repair of damaged text: character references (those of HTML 4) are resolved twice, lower case.</summary>
    OpenAI,
}
